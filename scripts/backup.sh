#!/usr/bin/env bash
# Write the whole database to a file, while the service runs, and print the file's name.
# Usage: scripts/backup.sh [FOLDER]        backups, if none is named
# The database is DATABASE_URL's, else that of the Compose project.
# Webhook URLs are encrypted in it: keep ENCRYPTION_KEYS too, at another place.
set -euo pipefail

umask 077
folder=${1:-$(dirname "$0")/../backups}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.."
# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

file=$folder/task_scheduler-$(date -u +%Y%m%dT%H%M%SZ).dump
trap 'rm -f "$file.partial"' EXIT

"${run[@]}" pg_dump "${connection[@]}" --format=custom --no-owner --no-privileges >"$file.partial"
# Read once to its end: damage is found now, and not when the file is needed.
"${run[@]}" pg_restore --file=/dev/null <"$file.partial"
mv "$file.partial" "$file"
echo "$file"
