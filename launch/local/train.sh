#!/usr/bin/env bash
# Train on this machine: one process with all GPUs, or the CPU.
#
#   launch/local/train.sh sprites --config.out=runs/sprites
#   EXTRA= launch/local/train.sh smoke          # on a CPU: JAX without CUDA
#   DRY_RUN=1 launch/local/train.sh sprites     # print the commands only
#
# The first call creates .venv. Preemption: SIGTERM and Ctrl-C end the run after the current step, with a checkpoint; the
# next call resumes from the last checkpoint, also after a crash. On a preemptible machine, add a line to its crontab:
#
#   @reboot cd vcjax && launch/local/train.sh sprites >> train.log 2>&1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -ge 1 ] || { echo "usage: launch/local/train.sh CONFIG [--config.KEY=VALUE ...]" >&2; exit 2; }
config=$1
shift
extra=${EXTRA-cuda}

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

if [ ! -x .venv/bin/vcjax ]; then
    run "${PYTHON:-python3}" -m venv .venv
    run .venv/bin/python -m pip install --editable ".${extra:+[$extra]}"
fi
run exec .venv/bin/vcjax train --config="$config" "$@" # exec: the trainer receives the signals
