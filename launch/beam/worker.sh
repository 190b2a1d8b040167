#!/usr/bin/env bash
# The Python side of a node for launch/beam/flink.sh: starts workers for Beam when the node's task manager asks for them.
#
#   launch/beam/worker.sh                # in a checkout with its .venv (pip install --editable '.[beam,cuda]')
#   DRY_RUN=1 launch/beam/worker.sh      # prints the command instead
#
# PORT  that it listens at (50000)
#
# Each worker holds the model's networks: give a task manager as many slots as its node has GPUs, or few on a CPU.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

run() { # a command, or its text where nothing is to be done
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

# The pool calls its workers `python`.
export PATH="$home/.venv/bin:$PATH"
run exec python -m apache_beam.runners.worker.worker_pool_main --service_port="${PORT:-50000}"
