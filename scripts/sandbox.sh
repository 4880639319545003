#!/bin/sh
# Install what is missing and become the sandbox, so that signals reach it.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh requirements.txt
sh scripts/try_graphiql.sh
exec .venv/bin/python -m sandbox "$@"
