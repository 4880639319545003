#!/bin/sh
# Make .venv and install a lock file into it, unless that very lock is installed already.
# Usage: sh scripts/install.sh requirements.txt
# PYTHON names the interpreter for a new .venv; otherwise the newest suitable one is taken.
set -eu
cd "$(dirname "$0")/.."
lock=$1
stamp=.venv/installed-$lock

suitable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.14 python3.13 python3.12 python3.11 python3
    fi
    for name; do
        if suitable "$name"; then
            printf '%s' "$name"
            return
        fi
    done
    echo "This needs Python 3.11 or newer with its venv module, but ${PYTHON:-PATH} has none." >&2
    echo "Install it (on Debian or Ubuntu: apt install python3 python3-venv), or name one by" >&2
    echo "PYTHON=/path/to/python3." >&2
    exit 1
}

if [ -f "$stamp" ] && [ -x .venv/bin/python ] && [ "$(cat "$stamp")" = "$(cat "$lock")" ]; then
    exit 0
fi
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    "$python" -m venv --clear .venv
fi
echo "Installing $lock into .venv (the first time this takes about a minute) ..." >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
cp "$lock" "$stamp"
