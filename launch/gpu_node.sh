#!/usr/bin/env bash
# Runs one process with all GPUs of one node.
#
#   launch/gpu_node.sh --config=configs/cake.py --workdir=DIR [more flags]
#
# After SIGTERM it saves its state and ends with status 143; the same command
# continues.
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: $0 --config=configs/cake.py --workdir=DIR [more flags]" >&2
  exit 2
fi

# Allocate most memory at the start, because fragmentation would waste some.
export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.92}"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python}" -m jaxkd.main "$@"
