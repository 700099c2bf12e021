#!/usr/bin/env bash
# Train on all devices of a node, or of several.
#   tools/dist_train.sh CONFIG GPUS [arguments of mmentity train]
# For several nodes set NNODES, NODE_RANK and MASTER_ADDR in the environment of each; PORT is the
# port of the first (default 29500).
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
config=$1 gpus=$2
shift 2
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$tools/train.py" "$config" --launcher pytorch "$@"
