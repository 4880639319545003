#!/usr/bin/env bash
# Make .env for production from .env.production.example, with new keys and passwords in it.
# Usage: scripts/setup.sh [DOMAIN]
# What has a value in .env already is left as it is, so it may be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077

random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
fernet_key() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
subnets() {
    local found
    found=$(docker network inspect attendance-network \
        --format '{{range .IPAM.Config}}{{.Subnet}} {{end}}' 2>/dev/null) || return 0
    xargs <<<"$found" | tr ' ' ','
}

# Write NAME=VALUE into .env, unless there is a value: in its empty line, or at the end.
fill() {
    local name=$1 value=$2
    [ -n "$value" ] || return 0
    ! grep -q "^$name=." .env || return 0
    NAME=$name VALUE=$value awk '
        $0 == ENVIRON["NAME"] "=" { $0 = $0 ENVIRON["VALUE"]; done = 1 }
        { print }
        END { if (!done) print ENVIRON["NAME"] "=" ENVIRON["VALUE"] }
    ' .env >.env.new
    mv .env.new .env
    echo "$name is set."
}

[ -f .env ] || cp .env.production.example .env
chmod 600 .env
fill COMPOSE_FILE docker-compose.prod.yml
fill DOMAIN "${1:-}"
fill TRUSTED_PROXIES "$(subnets)"
fill API_KEY "$(random_hex 24)"
fill ENCRYPTION_KEYS "$(fernet_key)"
fill POSTGRES_PASSWORD "$(random_hex 24)"
fill REDIS_PASSWORD "$(random_hex 24)"

missing=0
for name in DOMAIN TRUSTED_PROXIES; do
    if ! grep -q "^$name=." .env; then
        echo "$name is still empty: write it into .env." >&2
        missing=1
    fi
done
exit "$missing"
