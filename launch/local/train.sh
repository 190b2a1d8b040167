#!/usr/bin/env bash
# Trains on this machine: one process with all of its GPUs, or its CPU.
#
#   launch/local/train.sh configs/sprites.py --config.out=runs/sprites
#   EXTRA= launch/local/train.sh configs/smoke.py          # a CPU: JAX without CUDA
#   DRY_RUN=1 launch/local/train.sh configs/sprites.py     # prints the commands instead
#
# The first call makes .venv. Preemption: SIGTERM and Ctrl-C end the run after the step in flight, with a checkpoint;
# called again, it goes on from the last one, also after a crash. A machine that may be taken away and come back takes
# a line in its crontab:
#
#   @reboot cd vcjax && launch/local/train.sh configs/sprites.py >> train.log 2>&1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -ge 1 ] || { echo "usage: launch/local/train.sh CONFIG [--config.KEY=VALUE ...]" >&2; exit 2; }
config=$1
shift
extra=${EXTRA-cuda}

run() { # a command, or its text where nothing is to be done
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

if [ ! -x .venv/bin/vcjax ]; then
    run "${PYTHON:-python3}" -m venv .venv
    run .venv/bin/python -m pip install --editable ".${extra:+[$extra]}"
fi
run exec .venv/bin/vcjax train --config="$config" "$@" # exec: signals come to the trainer itself
