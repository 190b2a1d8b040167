#!/usr/bin/env bash
# Train on a slice of a TPU pod: request the slice, set it up, train, request it again after a preemption, delete it.
#
#   gcloud auth login && gcloud config set project PROJECT
#   gcloud storage cp -r models/videocomposer gs://my-runs/models/
#   TYPE=v5p-128 ZONE=us-east5-a BUCKET=my-runs launch/tpu/train.sh videocomposer --config.mesh.fsdp=16 \
#       "--config.stages[0].batch_size=64" "--config.stages[1].batch_size=64" \
#       --config.frozen_from=runs/models/videocomposer
#   TYPE=... ZONE=... BUCKET=... DRY_RUN=1 launch/tpu/train.sh videocomposer     # print the commands only
#
# TYPE      type of the slice as gcloud names it: with the number of cores for v5p (two per chip), else of chips
# ZONE      zone of the slice
# BUCKET    bucket of Cloud Storage, mounted as runs/ on every host, for configuration, checkpoints and metrics
# NAME      name of the slice (default: vcjax)
# SPOT      1 for preemptible chips (default), empty for others
#
# The batch size must be a multiple of the number of chips (64 of a v5p-128), and the model folder that the run starts
# from must be in the bucket.
#
# Run it on a machine that stays up (a small one, in tmux). Preemption: each host gets SIGTERM, and all stop after the
# same step, with a checkpoint. This script then requests another slice and resumes there; so it does when it is itself
# restarted. It trains with the committed state of the checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# -lt 1 ] || [ -z "${TYPE:-}" ] || [ -z "${ZONE:-}" ] || [ -z "${BUCKET:-}" ]; then
    echo "usage: TYPE=v5p-128 ZONE=... BUCKET=... launch/tpu/train.sh CONFIG [--config.KEY=VALUE ...]" >&2
    exit 2
fi
config=$1
shift
name=${NAME:-vcjax}
spot=${SPOT-1}
case $TYPE in
    v5litepod-*) runtime=v2-alpha-tpuv5-lite ;;
    v5p-*) runtime=v2-alpha-tpuv5 ;;
    v6e-*) runtime=v2-alpha-tpuv6e ;;
    *) echo "TYPE must begin with v5litepod-, v5p- or v6e-, not $TYPE" >&2 && exit 2 ;;
esac

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}
slices() { local verb=$1; shift; run gcloud compute tpus queued-resources "$verb" "$name" --zone="$ZONE" "$@"; }
on() { run gcloud compute tpus tpu-vm ssh "$name" --zone="$ZONE" --worker="$1" --command="$2"; }
state() { slices describe --format='value(state.state)' 2>/dev/null || echo NONE; }

slice() { # request the slice if there is none, and wait for it
    if [ -n "${DRY_RUN:-}" ]; then create && return; fi
    while true; do
        case $(state) in
            ACTIVE) return ;;
            NONE) create ;;
            FAILED | SUSPENDED) slices delete --quiet --force ;; # the remains of a preempted slice
            *) sleep 60 ;;
        esac
    done
}
create() {
    slices create --node-id="$name" --accelerator-type="$TYPE" --runtime-version="$runtime" ${spot:+--spot}
}

repository=https://packages.cloud.google.com/apt
setup="
    set -e
    which gcsfuse > /dev/null || {
        curl --silent $repository/doc/apt-key.gpg | sudo tee /usr/share/keyrings/cloud.google.asc > /dev/null
        echo deb [signed-by=/usr/share/keyrings/cloud.google.asc] $repository gcsfuse-\$(lsb_release -cs) main |
            sudo tee /etc/apt/sources.list.d/gcsfuse.list
        sudo apt-get update && sudo apt-get install --yes gcsfuse
    }
    mkdir -p vcjax/runs && cd vcjax && tar --extract --gzip --file ../vcjax.tgz
    mountpoint --quiet runs || gcsfuse --implicit-dirs $BUCKET runs
    python3 -m pip install --user --quiet uv
    [ -d .venv ] || ~/.local/bin/uv venv --python 3.12 .venv
    ~/.local/bin/uv pip install --quiet --editable '.[tpu]'
"
# The exit code is written to a file on the host: gcloud does not return it.
train="cd vcjax; rm -f code; VCJAX_HOSTS=auto .venv/bin/vcjax train --config=$(printf '%q ' "$config" "$@"); echo \$? > code"

run git archive --output=vcjax.tgz HEAD
while true; do
    slice
    if run gcloud compute tpus tpu-vm scp vcjax.tgz "$name:" --zone="$ZONE" --worker=all && on all "$setup"; then
        on all "$train" || true
        code=$(on 0 "cat vcjax/code" || echo lost)
    else
        code=lost
    fi
    if [ -n "${DRY_RUN:-}" ]; then echo "$code" && code=0; fi
    case $code in
        0) slices delete --quiet --force && exit 0 ;;
        1 | 2) echo "the run stopped with code $code; the slice $name still exists" >&2 && exit "$code" ;;
        *) sleep 60 ;; # preempted, or a host was lost: resume from the last checkpoint
    esac
done
