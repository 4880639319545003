#!/usr/bin/env bash
# Run all that has to pass, as CI does: tests, checks, and the end-to-end tests. Some parts install
# Debian packages, which only root can.
set -euo pipefail
cd "$(dirname "$0")/.."
exec bash .ci/run
