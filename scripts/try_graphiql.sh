#!/bin/sh
# Fetch GraphiQL if npm is there. It is tried once; the service is complete without it.
set -eu
cd "$(dirname "$0")/.."

if [ ! -d web/static/graphiql ] && [ ! -e .venv/tried-graphiql ] && command -v npm >/dev/null; then
    : >.venv/tried-graphiql
    echo "Fetching GraphiQL by npm ..." >&2
    npm_config_fetch_retries=1 npm_config_fetch_timeout=30000 sh web/graphiql/build.sh >&2 ||
        echo "No GraphiQL; 'make graphiql' tries again." >&2
fi
