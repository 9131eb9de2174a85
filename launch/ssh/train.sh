#!/usr/bin/env bash
# One training run on hosts that are reached by SSH, one process on each; the first is the coordinator.
#
#   HOSTS="node1 node2" launch/ssh/train.sh --dataset DATASET --workdir RUN PRESET
#
# Each host has `ostinato` on the PATH of its login shell, and DATASET and RUN on storage that all see. Ctrl-C here stops
# all of them, each after a checkpoint. PORT (7733) has to be open between the hosts. SSH may name another program or
# options, such as "ssh -i key".
set -euo pipefail

read -ra hosts <<< "${HOSTS:?which? HOSTS=\"node1 node2\" $0 --dataset DATASET --workdir RUN PRESET}"
read -ra ssh <<< "${SSH:-ssh}"
again=$(< "$(dirname "$0")/../ssh/again.sh")

# The arguments once more as words of a shell: the one on the other side.
printf -v arguments ' %q' "$@"
printf -v program '%q' "$again"

processes=()
# Before anything starts, so that no process is left alone by a signal that comes early.
trap 'kill -TERM "${processes[@]}" 2> /dev/null || true' INT TERM
for number in "${!hosts[@]}"; do
    variables="OSTINATO_COORDINATOR=${hosts[0]}:${PORT:-7733} OSTINATO_NUM_PROCESSES=${#hosts[@]}"
    variables+=" OSTINATO_PROCESS_ID=$number MAX_RESTARTS=${MAX_RESTARTS:-20}"
    # A terminal (-tt), so that what runs there hears when this end is gone.
    "${ssh[@]}" -tt "${hosts[number]}" "exec env $variables bash -lc $program again.sh$arguments" < /dev/null \
        > >(sed -u "s/^/[$number] /") 2>&1 &
    processes+=($!)
done

code=0
for process in "${processes[@]}"; do
    # A wait ends when a signal comes; the last one tells the exit code.
    while kill -0 "$process" 2> /dev/null; do
        wait "$process" || true
    done
    wait "$process" || code=$?
done
exit "$code"
