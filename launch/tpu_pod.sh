#!/usr/bin/env bash
# Runs one process on each host of a TPU pod slice.
#
#   TPU=NAME ZONE=us-east5-b launch/tpu_pod.sh \
#     --config=configs/cake.py --workdir=gs://BUCKET/run [more flags]
#
# Every host of NAME needs this checkout in ~/jaxkd, installed by
# `pip install -e '.[buckets]' -U "jax[tpu]"`, and access to the bucket; or the
# workdir is on a disk that all hosts share. PROJECT, CHECKOUT and PYTHON may be
# set too.
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: TPU=NAME ZONE=ZONE $0 --config=FILE --workdir=DIR [flags]" >&2
  exit 2
fi
: "${TPU:?the name of the TPU}" "${ZONE:?the zone of the TPU}"

printf -v flags ' %q' "$@"
where="${CHECKOUT:-jaxkd}"
command="cd $(printf '%q' "$where") && exec $(printf '%q' "${PYTHON:-python3}")"
command+=" -m jaxkd.main --distributed$flags"

gcloud_flags=(--zone="$ZONE" --worker=all)
if [[ -n "${PROJECT:-}" ]]; then
  gcloud_flags+=(--project="$PROJECT")
fi
exec gcloud compute tpus tpu-vm ssh "$TPU" "${gcloud_flags[@]}" \
  --command="$command"
