"""Several processes of one command on this machine: their output is passed on, and they end together.

They are gone when this process is, however it ends: on Linux the kernel kills them with it.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

from ostinato.configs.errors import ExitCode
from ostinato.launch import child

POLL_S = 0.05
SETTLE_S = 10.0
"""When one process has failed, so long may the others take to notice it and say so."""
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
    """Yields what is filled when signals come, instead of ending this process; one that is ignored (nohup) stays so."""
    asked = Asked()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, asked.take)
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
    with _Group(command, starts, asked) as group:
        told = False
        while group.running:
            group.outputs.pass_on(POLL_S)
            if asked.first and not told:
                told = True
                group.end_within(grace_s)
                for process in group.running.values():
                    process.send_signal(asked.first)
            if asked.impatient:
                group.end_within(0)
            group.kill_if_late()
            for ended in group.collect():
                if ended.code != 0:
                    group.end_within(grace_s if ended.code == ExitCode.PREEMPTED else SETTLE_S)
        group.outputs.pass_on_rest()
        return [group.ended[number] for number in range(len(starts))]


class _Group:
    """The processes and when they have to be gone."""

    def __init__(self, command: Sequence[str], starts: Sequence[Start], asked: Asked) -> None:
        self.outputs = _Outputs(on_broken_pipe=lambda: asked.take(signal.SIGTERM))
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self.ended: dict[int, Ended] = {}
        self._deadline = float("inf")
        self._late = False
        try:
            for number, start in enumerate(starts):
                self.running[number] = process = _popen(command, start)
                assert process.stdout
                assert process.stderr
                self.outputs.add(number, process.stdout, sys.stdout.buffer)
                self.outputs.add(number, process.stderr, sys.stderr.buffer)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "_Group":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running.values():
            _kill(process)
            process.wait()
        self.outputs.close()

    def end_within(self, seconds: float) -> None:
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def kill_if_late(self) -> None:
        if time.monotonic() >= self._deadline and not self._late:
            self._late = True
            for process in self.running.values():
                _kill(process)

    def collect(self) -> list[Ended]:
        """Returns those that have ended since the last time."""
        before = len(self.ended)
        for number, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[number]
                self.ended[number] = Ended(code, killed_here=self._late and code == -signal.SIGKILL)
        return list(self.ended.values())[before:]


class _Outputs:
    """Pipes from the processes, read line by line."""

    def __init__(self, *, on_broken_pipe: Callable[[], None]) -> None:
        self._selector = selectors.DefaultSelector()
        self._on_broken_pipe = on_broken_pipe
        self._broken: set[IO[bytes]] = set()

    def add(self, number: int, pipe: IO[bytes], target: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, _Line(f"[{number}] ".encode(), pipe, target))

    def pass_on(self, timeout_s: float) -> bool:
        """Waits for output and passes it on; returns whether there was any."""
        if not self._selector.get_map():
            time.sleep(timeout_s)
            return False
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            line: _Line = key.data
            part = os.read(key.fd, MAX_LINE_BYTES)
            line.text += part
            if not part:
                self._selector.unregister(key.fileobj)
                line.pipe.close()
                line.text += b"\n" if line.text else b""
            elif b"\n" not in part and len(line.text) > MAX_LINE_BYTES:
                line.text += b"\n"
            *whole, line.text = line.text.split(b"\n")
            self._write(line.target, b"".join(line.prefix + text + b"\n" for text in whole))
        return bool(ready)

    def pass_on_rest(self) -> None:
        """Passes on what is left in the pipes; does not wait for their ends, which a grandchild may hold open."""
        while self._selector.get_map() and self.pass_on(0):
            pass

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.pipe.close()
        self._selector.close()

    def _write(self, target: IO[bytes], text: bytes) -> None:
        if not text or target in self._broken:
            return
        try:
            target.write(text)
            target.flush()
        except BrokenPipeError:  # `| head`: nobody listens any more
            self._broken.add(target)
            self._on_broken_pipe()


class _Line:
    """What has come of a line so far."""

    def __init__(self, prefix: bytes, pipe: IO[bytes], target: IO[bytes]) -> None:
        self.prefix = prefix
        self.pipe = pipe
        self.target = target
        self.text = b""


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
