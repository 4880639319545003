#!/bin/sh
# Install what the end-to-end tests need besides Python, and run them.
# Arguments are pytest's: sh scripts/e2e.sh -k graphiql
set -eu
cd "$(dirname "$0")/.."

missing=
for pair in curl:curl node:nodejs npm:npm chromium:chromium redis-server:redis-server nginx:nginx \
    openssl:openssl; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "The end-to-end tests need these Debian packages, which only root can install:" >&2
        echo "    apt-get install$missing" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get --quiet update
    # shellcheck disable=SC2086 # several words are meant
    apt-get --quiet --yes --no-install-recommends install $missing
fi

[ -e web/static/graphiql/graphiql.min.js.gz ] || sh web/graphiql/build.sh
(cd tests/e2e/clients && npm install --no-package-lock --no-audit --no-fund --loglevel=error)

exec .venv/bin/python -m pytest tests/e2e "$@"
