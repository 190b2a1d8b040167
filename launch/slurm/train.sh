#!/usr/bin/env bash
# Trains on the GPUs of one or several nodes under Slurm, a process a GPU.
#
#   sbatch --nodes=4 launch/slurm/train.sh configs/videocomposer.py --config.out=/scratch/vc --config.mesh.fsdp=8 \
#       --config.stages[0].batch=32 --config.stages[1].batch=32 --config.parts=/scratch/models/videocomposer
#   DRY_RUN=1 launch/slurm/train.sh configs/videocomposer.py     # prints the commands instead
#
# Call it in a checkout that all nodes see, with its .venv (pip install --editable '.[cuda]'); the run's folder must be
# on such a file system too, and the model folder that it starts from; a batch must divide among all GPUs. Partition, account and the like are options of sbatch.
#
# Preemption: two minutes before the time is up, and when the job is preempted, Slurm sends SIGTERM: all processes stop
# behind the same step, with a checkpoint. A preempted job, and one whose node fails, Slurm queues again itself; one whose
# time is up, or that lost a process, is queued again below. It then goes on from its last checkpoint.
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

run() { # a command, or its text where nothing is to be done
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

export VCJAX_HOSTS=auto # the processes find one another by Slurm's variables
code=0
run srun --kill-on-bad-exit=0 .venv/bin/vcjax train --config="$config" "$@" || code=$?
if [ -n "${DRY_RUN:-}" ]; then
    run scontrol requeue JOB # where the time was up or a process was lost
    exit
fi
# 75: stopped by a signal, to be gone on with; 3: another process was lost. A cancelled job is not RUNNING any more.
if [ "$code" -eq 75 ] || [ "$code" -eq 3 ]; then
    state=$(squeue --noheader --job "$SLURM_JOB_ID" --format=%T)
    [ "$state" != RUNNING ] || scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
