#!/usr/bin/env bash
# Test on all devices of a node, or of several.
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of mmentity test]
# For several nodes set NNODES, NODE_RANK and MASTER_ADDR in the environment of each; PORT is the
# port of the first (default 29500).
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
