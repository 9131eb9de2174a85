"""Runs a command and measures it with every process that it starts (Linux).

Processes that their parent did not wait for count too: this process adopts and reaps them.
"""

import contextlib
import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

PERIOD_S = 0.1
"""Memory is read so often. The kernel keeps each process's peak, so that only growth just before its end is missed."""

_PR_SET_CHILD_SUBREAPER = 36


class Cost(NamedTuple):
    """What a command took."""

    cpu_s: float
    """User and system time of all processes, until the last has ended."""
    wall_s: float
    """Until the last has ended, too; to PERIOD_S."""
    main_peak_mb: float
    """Largest resident memory of the process that was started."""
    child_peak_mb: float
    """The largest of any other process."""
    output: str
    """What was written to standard output."""


def run(command: Sequence[str]) -> Cost:
    """Runs a command to its end.

    Raises:
        RuntimeError: it failed; with the end of what it wrote to standard error.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    cpu_s, start_s = _children_cpu_s(), time.monotonic()
    peaks: dict[int, float] = {}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        while process.poll() is None or _have_adopted():
            peaks |= _peaks_mb(process.pid)
            time.sleep(PERIOD_S)
        wall_s = time.monotonic() - start_s
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = errors.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)[:300]}: exit code {process.returncode}\n{last}")
        main_peak_mb = peaks.pop(process.pid, 0.0)
        return Cost(
            cpu_s=_children_cpu_s() - cpu_s,
            wall_s=wall_s,
            main_peak_mb=main_peak_mb,
            child_peak_mb=max(peaks.values(), default=0.0),
            output=output.read().decode(),
        )


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _have_adopted() -> bool:
    """Waits for the adopted processes that have ended, so that their time is counted; tells whether any goes on."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not pid:
            return True


def _peaks_mb(leader: int) -> dict[int, float]:
    """Returns the peak of every process of a session."""
    peaks = {}
    for process in psutil.process_iter():
        # One that has just ended, or is a zombie, has nothing left to say.
        with contextlib.suppress(psutil.Error, OSError, IndexError):
            if os.getsid(process.pid) == leader:
                peaks[process.pid] = (
                    int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
                )
    return peaks
