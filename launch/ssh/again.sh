#!/usr/bin/env bash
# Runs `ostinato train` with the arguments given, and again while that helps, at most MAX_RESTARTS times: after exit codes
# 75 (preempted) and 76 (another process was lost), and after a signal killed it. On several hosts each runs this; when
# one process ends the others end with 76, and all meet again at process 0.
set -uo pipefail

restarts=0
while true; do
    # In the background, since bash passes signals on to nobody while it waits for a command.
    ostinato train "$@" &
    train=$!
    asked=
    trap 'asked=yes; kill -TERM "$train" 2> /dev/null' TERM INT HUP
    wait "$train"
    code=$?
    if [ -n "$asked" ]; then
        wait "$train" # the first wait ended when the signal came
        exit $?
    fi
    if [ "$code" -ne 75 ] && [ "$code" -ne 76 ] && [ "$code" -le 130 ]; then
        exit "$code"
    fi
    if [ "$restarts" -ge "${MAX_RESTARTS:-20}" ]; then
        echo "again.sh: exit code $code after $restarts restarts" >&2
        exit "$code"
    fi
    restarts=$((restarts + 1))
    echo "again.sh: exit code $code; restart $restarts" >&2
done
