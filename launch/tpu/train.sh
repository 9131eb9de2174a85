#!/usr/bin/env bash
# One training run on all hosts of a Cloud TPU VM, from a slice of one host to a pod:
#
#   TPU=my-tpu ZONE=europe-west4-b launch/tpu/train.sh --dataset DATASET --workdir RUN PRESET
#
# Each host has the wheel installed with its extra (pip install 'ostinato-0.1.0-py3-none-any.whl[tpu]'), and DATASET and
# RUN on storage that all see (Filestore). Who is who comes from the metadata of the VM. Processes that are preempted, or
# lose another, start again by themselves (launch/ssh/again.sh).
set -euo pipefail

usage="TPU=my-tpu ZONE=europe-west4-b $0 --dataset DATASET --workdir RUN PRESET"
printf -v arguments ' %q' "$@"
printf -v program '%q' "$(< "$(dirname "$0")/../ssh/again.sh")"

exec gcloud compute tpus tpu-vm ssh "${TPU:?which? $usage}" --zone="${ZONE:?where? $usage}" --worker=all \
    --command="MAX_RESTARTS=${MAX_RESTARTS:-20} bash -lc $program again.sh$arguments"
