#!/usr/bin/env bash
# Train on the GPUs of one or several nodes with Slurm, one process per GPU.
#
#   sbatch --nodes=4 launch/slurm/train.sh videocomposer --config.out=/scratch/vc --config.mesh.fsdp=8 \
#       "--config.stages[0].batch_size=32" "--config.stages[1].batch_size=32" \
#       --config.frozen_from=/scratch/models/videocomposer
#   DRY_RUN=1 launch/slurm/train.sh videocomposer     # print the commands only
#
# Run it in a checkout on a file system that all nodes share, with its .venv (pip install --editable '.[cuda]'). The
# folder of the run and the model folder that it starts from must be on a shared file system too. The batch size must be
# a multiple of the number of GPUs. Set partition and account with the options of sbatch.
#
# Preemption: Slurm sends SIGTERM two minutes before the time limit and when the job is preempted. All processes then
# stop after the same step, with a checkpoint. Slurm requeues a preempted job and one whose node fails; this script
# requeues a job at its time limit and one that lost a process. The job resumes from its last checkpoint.
#SBATCH --job-name=vcjax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=vcjax-%j.log
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: sbatch launch/slurm/train.sh CONFIG [--config.KEY=VALUE ...]" >&2; exit 2; }
config=$1
shift

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

export VCJAX_HOSTS=auto # JAX reads the addresses from Slurm's variables
code=0
run srun --kill-on-bad-exit=0 .venv/bin/vcjax train --config="$config" "$@" || code=$?
if [ -n "${DRY_RUN:-}" ]; then
    run scontrol requeue JOB # at the time limit, or where a process was lost
    exit
fi
# 75: stopped by a signal, with a checkpoint; 3: another process was lost. The state of a cancelled job is not RUNNING.
if [ "$code" -eq 75 ] || [ "$code" -eq 3 ]; then
    state=$(squeue --noheader --job "$SLURM_JOB_ID" --format=%T)
    [ "$state" != RUNNING ] || scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
