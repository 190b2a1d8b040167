#!/usr/bin/env bash
# Prepares footage on a Flink cluster. Footage, model and data set lie on a file system that all nodes see.
#
#   launch/beam/worker.sh                                                            # on each node, beside its task manager
#   MASTER=http://flink:8081 PARALLELISM=64 launch/beam/flink.sh /nfs/videos --out /nfs/data/mine --model /nfs/models/videocomposer
#   MASTER=http://flink:8081 DRY_RUN=1 launch/beam/flink.sh /nfs/videos --out /nfs/data/mine    # prints the command instead
#
# MASTER       of Flink (http://host:port)
# PARALLELISM  shards that are made at once (Flink's own default)
# VERSION      of Flink (Beam's newest)
# PORT         of the workers (50000)
#
# It wants Java here, for Beam's job server, which Beam downloads. Where a node is lost, Flink gives its shards to
# others; killed and called again, it goes on with what is not finished. Spark: vcjax prepare ... -- --runner=SparkRunner
# --spark_master_url=spark://host:7077 and the same environment. Dataflow: -- --runner=DataflowRunner --project=...
# --region=... --temp_location=gs://... --sdk_container_image=..., an image with vcjax[beam] and the shared file system.
set -euo pipefail

if [ $# -lt 1 ] || [ -z "${MASTER:-}" ]; then
    echo "usage: MASTER=http://host:8081 launch/beam/flink.sh FOOTAGE --out FOLDER [options of vcjax prepare]" >&2
    exit 2
fi
home=$(dirname "${BASH_SOURCE[0]}")/../..

run() { # a command, or its text where nothing is to be done
    if [ -n "${DRY_RUN:-}" ]; then printf '%q ' "$@" && echo; else "$@"; fi
}

run exec "$home/.venv/bin/vcjax" prepare "$@" -- --runner=FlinkRunner --flink_master="$MASTER" \
    ${VERSION:+--flink_version="$VERSION"} ${PARALLELISM:+--parallelism="$PARALLELISM"} \
    --environment_type=EXTERNAL --environment_config="localhost:${PORT:-50000}"
