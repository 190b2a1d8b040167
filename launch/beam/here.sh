#!/usr/bin/env bash
# Prepares footage on this machine: Beam's direct runner, a thread a core, and all of its GPUs.
#
#   launch/beam/here.sh videos --out data/mine --without depth,single_sketch,sketch
#   EXTRA=beam,cuda launch/beam/here.sh videos --out data/mine --model models/videocomposer
#   DRY_RUN=1 launch/beam/here.sh videos --out data/mine      # prints the commands instead
#
# The first call makes .venv. Killed at any time and called again, it goes on where it was.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: launch/beam/here.sh FOOTAGE --out FOLDER [options of vcjax prepare]" >&2; exit 2; }
home=$(dirname "${BASH_SOURCE[0]}")/../..

run() { # a command, or its text where nothing is to be done
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

if [ ! -x "$home/.venv/bin/vcjax" ]; then
    run "${PYTHON:-python3}" -m venv "$home/.venv"
fi
run "$home/.venv/bin/python" -m pip install --quiet --editable "$home[${EXTRA:-beam}]"
run exec "$home/.venv/bin/vcjax" prepare "$@"
