#!/usr/bin/env bash
# Read a file of backup.sh into the database: all of it, or nothing.
# Usage: scripts/restore.sh [--replace] FILE
# The database is DATABASE_URL's, else that of the Compose project. One that has tables is only
# overwritten with --replace, and none while anything else is connected to it: stop the service.
# Ticks since the backup then count as missed, and what was queued in it is sent: see each task's
# misfire policy before the service starts again.
set -euo pipefail

say() { echo "$*" >&2; }

replace=
if [ "${1:-}" = --replace ]; then
    replace=yes
    shift
fi
if [ $# != 1 ] || [ ! -f "$1" ]; then
    say "Usage: scripts/restore.sh [--replace] FILE"
    exit 2
fi
file=$(realpath "$1")
cd "$(dirname "$0")/.."
# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh

sql() { "${run[@]}" psql "${connection[@]}" --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"; }
ask() { sql --no-align --tuples-only --command "$1" </dev/null; }

tables=$(ask "select count(*) from pg_tables where schemaname = 'public'")
if [ "$tables" != 0 ] && [ -z "$replace" ]; then
    say "The database has $tables tables; --replace deletes them and all that is in them."
    exit 1
fi
# The server's own processes have no user.
others=$(ask "select count(*) from pg_stat_activity where datname = current_database()
    and pid <> pg_backend_pid() and usename is not null")
if [ "$others" != 0 ]; then
    say "$others others are connected to the database: stop the service first."
    exit 1
fi

umask 077
script=$(mktemp)
trap 'rm -f "$script"' EXIT
# Complete before the first statement runs: a damaged file changes nothing.
{
    echo "drop schema if exists public cascade; create schema public;"
    "${run[@]}" pg_restore --file=- --no-owner --no-privileges <"$file"
} >"$script"
sql --single-transaction --output=/dev/null --file=- <"$script"
say "Restored. Ticks since the backup count as missed when the service starts."
