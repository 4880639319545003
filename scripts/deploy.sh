#!/usr/bin/env bash
# Build the image, bring the database to its version, start the copies and wait until all are
# healthy. If anything fails after the build, the image that ran healthily before is started again.
# Usage: scripts/deploy.sh, with .env from scripts/setup.sh and Docker Compose 2.30 or newer.
# DEPLOY_WAIT_SECONDS: how long the copies may take to become healthy; 180 if unset.
set -euo pipefail
cd "$(dirname "$0")/.."

service=attendance-task-scheduler
image=discord-task-scheduler
wait_seconds=${DEPLOY_WAIT_SECONDS:-180}

say() { echo "$*" >&2; }

# Name the image of a copy that is healthy now. Without one, the name stays at the last such image.
keep_previous() {
    local container health
    for container in $(docker compose ps --quiet "$service"); do
        health=$(docker inspect --format '{{.State.Health.Status}}' "$container" || true)
        if [ "$health" = healthy ]; then
            docker image tag "$(docker inspect --format '{{.Image}}' "$container")" "$image:previous"
            return
        fi
    done
}

start() {
    docker compose up --detach --no-build --remove-orphans --wait --wait-timeout "$wait_seconds"
}

roll_back() {
    say "The new version didn't start. Its last lines:"
    docker compose logs --tail 30 >&2 || true
    if ! docker image inspect "$image:previous" >/dev/null 2>&1; then
        say "There is no earlier version to go back to."
        exit 1
    fi
    docker image tag "$image:previous" "$image:latest"
    if start; then
        say "The earlier version runs again, on the database as the new one left it."
    else
        say "The earlier version didn't start either: see 'docker compose ps' and the logs."
    fi
    exit 1
}

if [ ! -f .env ]; then
    say "There is no .env; scripts/setup.sh makes it."
    exit 1
fi
docker compose config --quiet
if ! docker network inspect attendance-network >/dev/null; then
    say "Traefik's network attendance-network isn't there."
    exit 1
fi
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
export REVISION

keep_previous
docker compose build "$service"
bash scripts/migrate.sh || roll_back
start || roll_back
say "All copies are healthy."
