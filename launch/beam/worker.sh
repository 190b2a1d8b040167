#!/usr/bin/env bash
# Beam's worker pool on a node of launch/beam/flink.sh: starts Python workers for the node's task manager.
#
#   launch/beam/worker.sh                # in a checkout with its .venv (pip install --editable '.[beam,cuda]')
#   DRY_RUN=1 launch/beam/worker.sh      # print the command only
#
# PORT  port to listen on (default: 50000)
#
# Each worker loads the model's networks: give a task manager as many slots as its node has GPUs, or few on a CPU.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

# The pool starts its workers as `python`.
export PATH="$home/.venv/bin:$PATH"
run exec python -m apache_beam.runners.worker.worker_pool_main --service_port="${PORT:-50000}"
