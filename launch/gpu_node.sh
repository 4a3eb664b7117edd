#!/usr/bin/env bash
# One node, all of its GPUs, one process.
#
#   launch/gpu_node.sh --config=configs/cake.py --workdir=DIR [more flags]
#
# A SIGTERM saves everything and ends with status 143; start it again to go on.
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: $0 --config=configs/cake.py --workdir=DIR [more flags]" >&2
  exit 2
fi

# Take what is there from the start; pieces would be lost to fragmentation.
export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.92}"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python}" -m jaxkd.main "$@"
