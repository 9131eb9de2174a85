"""Several processes of one command on this machine: their output is passed on, and they end together.

They are gone when this process is, however it ends: on Linux the kernel kills them with it.
"""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

from ostinato.configs.errors import ExitCode
from ostinato.launch import child

POLL_S = 0.05
SETTLE_S = 10.0
"""When one process has failed, so long may the others take to notice it and say so."""
FLUSH_S = 5.0
"""So long is waited for the end of the output, which a process that left the group may hold open."""
MAX_LINE_BYTES = 1 << 16


class Start(NamedTuple):
    """How one process is started."""

    environ: Mapping[str, str]
    cpus: frozenset[int]
    """The cores that it may use; none named is all."""


class Ended(NamedTuple):
    """How one process ended."""

    code: int
    """Its exit code; below 0, the signal that killed it."""
    killed_here: bool = False
    """It did not end by itself in time."""


class Asked:
    """What this process has been asked for: Ctrl-C, or SIGTERM (as which a closed terminal counts)."""

    def __init__(self) -> None:
        self._signals: list[signal.Signals] = []

    def take(self, number: int, _: object = None) -> None:
        self._signals.append(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    @property
    def first(self) -> signal.Signals | None:
        return self._signals[0] if self._signals else None

    @property
    def impatient(self) -> bool:
        """Ctrl-C once more."""
        return signal.SIGINT in self._signals[1:]


@contextmanager
def listening() -> Iterator[Asked]:
    """Yields what is filled when signals come, instead of ending this process.

    SIGINT, which a shell lets its background jobs ignore, is heard too: who sends it means it. Under nohup a terminal
    may still be closed.
    """
    asked = Asked()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, asked.take) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_together(command: Sequence[str], starts: Sequence[Start], asked: Asked, *, grace_s: float) -> list[Ended]:
    """Runs a command once for each start, and returns how each ended.

    Each line of output goes to the same stream of this process, behind `[number] `. What this process is asked for is
    passed on once; what still runs `grace_s` later is killed. When one fails the others have `SETTLE_S` to end, and
    `grace_s` where that one has saved its work and they are about to.
    """
    processes: list[subprocess.Popen[bytes]] = []
    readers: list[threading.Thread] = []
    try:
        for number, start in enumerate(starts):
            processes.append(_popen(command, start))
            for pipe, target in ((processes[-1].stdout, sys.stdout), (processes[-1].stderr, sys.stderr)):
                assert pipe
                arguments = (f"[{number}] ".encode(), pipe, target.buffer, lambda: asked.take(signal.SIGTERM))
                readers.append(threading.Thread(target=_pass_on, args=arguments, daemon=True))
                readers[-1].start()
        return _wait(processes, asked, grace_s)
    finally:
        for process in processes:
            _kill(process)
            process.wait()
        for reader in readers:
            reader.join(FLUSH_S)


def _wait(processes: Sequence[subprocess.Popen[bytes]], asked: Asked, grace_s: float) -> list[Ended]:
    ended: dict[int, Ended] = {}
    deadline_s = math.inf
    told = late = False
    while len(ended) < len(processes):
        time.sleep(POLL_S)
        running = {number: process for number, process in enumerate(processes) if number not in ended}
        if asked.first and not told:
            told = True
            deadline_s = min(deadline_s, time.monotonic() + grace_s)
            for process in running.values():
                process.send_signal(asked.first)
        if not late and (asked.impatient or time.monotonic() >= deadline_s):
            late = True
            for process in running.values():
                _kill(process)
        for number, process in running.items():
            code = process.poll()
            if code is not None:
                ended[number] = Ended(code, killed_here=late and code == -signal.SIGKILL)
                if code != ExitCode.FINISHED:
                    patience_s = grace_s if code == ExitCode.PREEMPTED else SETTLE_S
                    deadline_s = min(deadline_s, time.monotonic() + patience_s)
    return [ended[number] for number in range(len(processes))]


def _pass_on(prefix: bytes, pipe: IO[bytes], target: IO[bytes], on_broken_pipe: Callable[[], None]) -> None:
    """Writes each line of a pipe to a stream; when nobody reads that any more (`| head`), only empties the pipe."""
    broken = False
    with pipe:
        while line := pipe.readline(MAX_LINE_BYTES):
            try:
                if not broken:
                    target.write(prefix + line.removesuffix(b"\n") + b"\n")
                    target.flush()
            except BrokenPipeError:
                broken = True
                on_broken_pipe()


def _popen(command: Sequence[str], start: Start) -> subprocess.Popen[bytes]:
    cores = ",".join(map(str, sorted(start.cpus)))
    return subprocess.Popen(
        [sys.executable, "-I", child.__file__, str(os.getpid()), cores, *command],
        env=dict(start.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that Ctrl-C comes from here, once
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
