"""Becomes the command that it is given, after it has tied its life and its cores to those who started it.

    python child.py PID_OF_THE_LAUNCHER CORES COMMAND …

It is a program of its own because the same between fork and exec would not be safe in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(launcher: str, cores: str, *command: str) -> None:
    """Takes the pid of the launcher, with which it dies, and the cores to use, such as 0,1; none named is all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(launcher):  # it died before it could be watched
            sys.exit(1)
        if cores:
            os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
