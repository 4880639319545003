#!/usr/bin/env bash
# Bring the database of the Compose project to the image's version. Each start does it too; this
# does it before one. It may be run at any time: there is nothing to do the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

# Traefik must not send requests to it.
exec docker compose run --rm -T --label traefik.enable=false \
    attendance-task-scheduler python main.py migrate
