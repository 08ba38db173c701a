#!/usr/bin/env bash
# ./dev accept [--record FILE] [section ...]: runs the acceptance list and prints one line for each
# sentence with its figure. Sections: bytes trials exhibits change determinism clients bad-input
# speed main clean; all of them, in this order, by default. Took 39 minutes on two cores; `clean`
# needs root. Exit code 0: no line is red.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec /usr/bin/python3 tests/accept/accept.py "$@"
