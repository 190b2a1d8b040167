#!/usr/bin/env bash
# Trains on nodes of a Kubernetes cluster: an indexed Job, a pod a node with all of its GPUs.
#
#   IMAGE=registry/vcjax CLAIM=runs HOSTS=4 GPUS=8 launch/kubernetes/train.sh configs/videocomposer.py --config.mesh.fsdp=8 \
#       --config.stages[0].batch=32 --config.stages[1].batch=32 --config.parts=runs/models/videocomposer
#   IMAGE=... CLAIM=... DRY_RUN=1 launch/kubernetes/train.sh configs/videocomposer.py     # prints the commands instead
#
# IMAGE     to build, to push and to run (with docker)
# CLAIM     of a volume that all nodes can write (ReadWriteMany): it becomes runs/
# HOSTS     pods (1)
# GPUS      of each (8)
# NAME      of the job (vcjax)
#
# A batch must divide among all GPUs, and the model folder that the run starts from lie on the volume.
#
# Preemption: a pod that is told to go (SIGTERM) has all of them stop behind the same step, with a checkpoint; where one
# dies, the others leave within a minute. The Job starts them again, and they go on from the last checkpoint. It fails
# where the configuration is wrong, or after six failures of other kinds. `kubectl delete job,service NAME` ends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# -lt 1 ] || [ -z "${IMAGE:-}" ] || [ -z "${CLAIM:-}" ]; then
    echo "usage: IMAGE=... CLAIM=... launch/kubernetes/train.sh CONFIG [--config.KEY=VALUE ...]" >&2
    exit 2
fi
config=$1
shift

run() { # a command, or its text where nothing is to be done
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
