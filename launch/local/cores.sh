#!/usr/bin/env bash
# Trains a small model on the CPU of this machine: a process for each core, which share every batch. What a small model
# computes is too little to keep several cores busy from within one process (docs/measurements.md).
#
#   launch/local/cores.sh configs/sprites.py --config.out=runs/sprites
#   CORES=4 PORT=9912 launch/local/cores.sh configs/sprites.py    # not all cores, and another port than 9911
#   DRY_RUN=1 launch/local/cores.sh configs/sprites.py            # prints the commands instead
#
# It takes .venv, which train.sh or `make demo` makes. Batches must be multiples of the number of cores. Preemption: SIGTERM
# and Ctrl-C end the run after the step in flight, with a checkpoint; called again, it goes on from the last one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -ge 1 ] || { echo "usage: launch/local/cores.sh CONFIG [--config.KEY=VALUE ...]" >&2; exit 2; }
config=$1
shift
cores=${CORES:-$(nproc)}

run() { # a command, or its text where nothing is to be done
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

start() { # process $1 of $cores
    run exec env "JAX_COORDINATOR_ADDRESS=127.0.0.1:${PORT:-9911}" "JAX_NUM_PROCESSES=$cores" "JAX_PROCESS_ID=$1" \
        "XLA_FLAGS=--xla_cpu_multi_thread_eigen=false ${XLA_FLAGS-}" \
        .venv/bin/vcjax train --config="$config" "${@:2}"
}

processes=()
for ((i = 0; i < cores; i++)); do
    start "$i" "$@" &
    processes+=("$!")
done
trap 'kill -TERM "${processes[@]}" 2> /dev/null || true' TERM INT

worst=0
for process in "${processes[@]}"; do
    code=0
    wait "$process" || code=$?
    while kill -0 "$process" 2> /dev/null; do # a signal ends `wait`, not what it waits for
        code=0
        wait "$process" || code=$?
    done
    [ "$code" -le "$worst" ] || worst=$code
done
exit "$worst"
