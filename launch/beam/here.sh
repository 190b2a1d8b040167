#!/usr/bin/env bash
# Prepare videos on this machine: Beam's local runner, one thread per core, and all GPUs.
#
#   launch/beam/here.sh videos --out data/mine --without depth,single_sketch,sketch
#   EXTRA=beam,cuda launch/beam/here.sh videos --out data/mine --model models/videocomposer
#   DRY_RUN=1 launch/beam/here.sh videos --out data/mine      # print the commands only
#
# The first call creates .venv. An interrupted preparation resumes when it is run again.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: launch/beam/here.sh SOURCE --out FOLDER [options of vcjax prepare]" >&2; exit 2; }
home=$(dirname "${BASH_SOURCE[0]}")/../..

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

if [ ! -x "$home/.venv/bin/vcjax" ]; then
    run "${PYTHON:-python3}" -m venv "$home/.venv"
fi
run "$home/.venv/bin/python" -m pip install --quiet --editable "$home[${EXTRA:-beam}]"
run exec "$home/.venv/bin/vcjax" prepare "$@"
