#!/usr/bin/env bash
# Train on nodes of a Kubernetes cluster: an indexed Job, one pod per node with all of its GPUs.
#
#   IMAGE=registry/vcjax CLAIM=runs HOSTS=4 GPUS=8 launch/kubernetes/train.sh videocomposer --config.mesh.fsdp=8 \
#       "--config.stages[0].batch_size=32" "--config.stages[1].batch_size=32" \
#       --config.frozen_from=runs/models/videocomposer
#   IMAGE=... CLAIM=... DRY_RUN=1 launch/kubernetes/train.sh videocomposer     # print the commands only
#
# IMAGE     container image to build, push and run (with docker)
# CLAIM     claim of a volume that all nodes can write (ReadWriteMany), mounted as runs/
# HOSTS     number of pods (default: 1)
# GPUS      GPUs per pod (default: 8)
# NAME      name of the job (default: vcjax)
#
# The batch size must be a multiple of the number of GPUs, and the model folder that the run starts from must be on the
# volume.
#
# Preemption: when one pod gets SIGTERM, all stop after the same step, with a checkpoint; when one dies, the others exit
# within a minute. The Job restarts them, and they resume from the last checkpoint. The Job fails where the configuration
# is wrong, or after six other failures. `kubectl delete job,service NAME` deletes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# -lt 1 ] || [ -z "${IMAGE:-}" ] || [ -z "${CLAIM:-}" ]; then
    echo "usage: IMAGE=... CLAIM=... launch/kubernetes/train.sh CONFIG [--config.KEY=VALUE ...]" >&2
    exit 2
fi
config=$1
shift

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}
manifest() {
    local arguments word text
    arguments='"train"'
    for word in --config="$config" "$@"; do
        word=${word//\\/\\\\}
        arguments+=", \"${word//\"/\\\"}\""
    done
    text=$(cat launch/kubernetes/job.yaml)
    text=${text//'$NAME'/${NAME:-vcjax}}
    text=${text//'$HOSTS'/${HOSTS:-1}}
    text=${text//'$GPUS'/${GPUS:-8}}
    text=${text//'$IMAGE'/$IMAGE}
    text=${text//'$CLAIM'/$CLAIM}
    echo "${text//'$ARGUMENTS'/"[$arguments]"}"
}

run docker build --file launch/kubernetes/Dockerfile --tag "$IMAGE" .
run docker push "$IMAGE"
run kubectl apply --filename - <<< "$(manifest "$@")"
if [ -n "${DRY_RUN:-}" ]; then manifest "$@"; fi
