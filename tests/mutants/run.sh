#!/usr/bin/env bash
# ./dev mutants: see run.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec "${PYTHON:-/usr/bin/python3}" tests/mutants/run.py "$@"
