#!/bin/sh
# Resolve the dependencies of pyproject.toml for Python 3.11 and newer and for all platforms.
# The development lock comes first; the other two take their versions from it.
# `sh scripts/lock.sh --upgrade` takes newer versions where pyproject.toml permits them.
set -eu
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/python -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
        --generate-hashes --no-strip-extras --no-header --no-annotate "$@"
}

compile --extra embedded --group dev --output-file requirements-dev.txt "$@"
compile --extra embedded --constraint requirements-dev.txt --output-file requirements.txt
compile --constraint requirements-dev.txt --output-file requirements-container.txt
