#!/usr/bin/env bash
# Runs `ostinato train` with the arguments given, and again while that helps, at most MAX_RESTARTS times: after exit codes
# 75 (preempted) and 76 (another process was lost), and after a signal killed it. On several hosts each runs this; when
# one process ends the others end with 76, and all meet again at process 0.
set -uo pipefail

restarts=0
asked= # a signal came
told=  # and has been passed on
train=
# Set before anything starts, so that there is no moment at which a signal would end this script alone.
trap 'asked=yes; if [ -n "$train" ]; then told=yes; kill -TERM "$train" 2> /dev/null; fi' TERM INT HUP
while true; do
    # In the background, since bash passes signals on to nobody while it waits for a command.
    ostinato train "$@" &
    train=$!
    if [ -n "$asked" ] && [ -z "$told" ]; then
        kill -TERM "$train" 2> /dev/null # it came before the process had a number
    fi
    wait "$train"
    code=$?
    if [ -n "$asked" ]; then
        # A wait ends when a signal comes; the last one tells the exit code.
        while kill -0 "$train" 2> /dev/null; do
            wait "$train"
        done
        wait "$train"
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
    train=
    if [ -n "$asked" ]; then
        exit "$code" # it came after the process had ended
    fi
done
