"""What child processes are made to do in tests of `isolation`. Children import this module, so it imports little."""

import ctypes
import os
import re
import signal
import sys
import time
from pathlib import Path


def do(action):
    """Some ways to behave; everything else is returned as it came."""
    match action:
        case "abort":
            os.abort()
        case "exit":
            os._exit(0)
        case "system exit":
            sys.exit("so long")
        case "segfault":
            ctypes.string_at(0)
        case "complain and abort":
            os.write(2, b"first line\nheap corrupted\n")
            os.abort()
        case "loop in C":
            re.match("(a+)+b", "a" * 60)
        case "sleep":
            time.sleep(1000)
        case "allocate":
            bytearray(10_000_000_000)
        case "allocate in small pieces":
            hoard = []
            while True:
                hoard.append(bytes(1_000_000))
        case "allocate in NumPy":
            import numpy as np

            np.ones(10**10)
        case "recurse in C":
            sys.setrecursionlimit(10**9)
            one, other = [], []
            for _ in range(200_000):
                one, other = [one], [other]
            return one == other
        case "close every file":
            os.closerange(0, 100)
        case "print":
            print("to be ignored" * 100_000)
            print("to be ignored" * 100_000, file=sys.stderr)
        case "killed by the system":
            os.kill(os.getpid(), signal.SIGKILL)
        case ("write", path):
            Path(path).write_bytes(b"something")
        case "lambda":
            return lambda: None
    return action


def poison_then_abort(action, *, state=[]):  # noqa: B006  # what an earlier item did is remembered on purpose
    state.append(action)
    if "poison" in state[:-1] or action == "abort":
        os.abort()
    return action


def process_id(_):
    return os.getpid()


def fail_at_three(number):
    if number == 3:
        raise ValueError("three is not allowed")
    return number


def leak(item, *, hoard=[]):  # noqa: B006  # grows on purpose
    hoard.append(bytes(10_000_000))
    return item
