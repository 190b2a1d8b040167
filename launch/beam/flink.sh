#!/usr/bin/env bash
# Prepare videos on a Flink cluster. Videos, model and data set must be on a file system that all nodes share.
#
#   launch/beam/worker.sh                      # on each node with a task manager
#   MASTER=http://flink:8081 PARALLELISM=64 launch/beam/flink.sh /nfs/videos --out /nfs/data/mine \
#       --model /nfs/models/videocomposer
#   MASTER=... DRY_RUN=1 launch/beam/flink.sh /nfs/videos --out /nfs/data/mine    # print the command only
#
# MASTER       address of Flink (http://host:port)
# PARALLELISM  number of shards that are processed in parallel (default: Flink's)
# VERSION      version of Flink (default: the newest that Beam supports)
# PORT         port of the workers (default: 50000)
#
# This machine needs Java for Beam's job server, which Beam downloads. Flink moves the shards of a lost node to other
# nodes; an interrupted preparation resumes when it is run again. Spark: vcjax prepare ... -- --runner=SparkRunner
# --spark_master_url=spark://host:7077 and the same environment. Dataflow: -- --runner=DataflowRunner --project=...
# --region=... --temp_location=gs://... --sdk_container_image=..., an image with vcjax[beam] and the shared file system.
set -euo pipefail

if [ $# -lt 1 ] || [ -z "${MASTER:-}" ]; then
    echo "usage: MASTER=http://host:8081 launch/beam/flink.sh SOURCE --out FOLDER [options of vcjax prepare]" >&2
    exit 2
fi
home=$(dirname "${BASH_SOURCE[0]}")/../..

run() { # run a command, or print it in a dry run
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

run exec "$home/.venv/bin/vcjax" prepare "$@" -- --runner=FlinkRunner --flink_master="$MASTER" \
    ${VERSION:+--flink_version="$VERSION"} ${PARALLELISM:+--parallelism="$PARALLELISM"} \
    --environment_type=EXTERNAL --environment_config="localhost:${PORT:-50000}"
