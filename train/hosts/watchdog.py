"""Watches a run from a thread: says what a slow step waits for, and ends the process when another one is lost.

JAX's heartbeats do not see a process that lives but is stuck, a collective whose peer is gone waits for ever, and a
normal exit waits for the peer once more. So each process leaves a sign of life with what it is doing; where one is
missing or behind, the others say which in one line and end with exit code 76.
"""

import ctypes
import logging
import math
import os
import signal
import statistics
import sys
import threading
import time
from collections import deque
from typing import Literal, NamedTuple, NoReturn

import jax

from ostinato.configs.errors import ExitCode
from ostinato.train.hosts.peers import Life, Mailbox, first_life

logger = logging.getLogger(__name__)

Kind = Literal["start", "input", "devices", "compiling", "validation", "checkpoint"]

SLOW_FACTOR = 10.0
"""What takes so many times its median is reported."""
SLOW_AT_LEAST_S = {"input": 1.0, "devices": 1.0, "validation": 30.0, "checkpoint": 30.0}
"""And what takes less than this is not. Starting and compiling take their time."""
KEPT_TIMES = 101
MAX_INTERVAL_S = 5.0
SILENT_BEATS = 4
"""Who has left out so many signs of life is gone, if something failed."""
OWN_FAULT = "RESOURCE_EXHAUSTED"
"""An error of XLA that is no other process's fault."""


def interval_s(timeout_s: float) -> float:
    """Returns the seconds between two signs of life."""
    return min(MAX_INTERVAL_S, timeout_s / 12)


class Task(NamedTuple):
    """What a process is doing."""

    kind: Kind
    what: str
    begin_s: float
    position: int
    """How many tasks came before."""


class SlowTasks:
    """Knows how long each kind of task takes, and says once when one takes much longer."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        self._reported = -1

    def done(self, kind: str, seconds: float) -> None:
        """Notes how long a step ("step") or a task of some kind took."""
        self._times.setdefault(kind, deque(maxlen=KEPT_TIMES)).append(seconds)

    def median_s(self, kind: str) -> float | None:
        times = self._times.get(kind)
        return statistics.median(times) if times else None

    def report(self, task: Task, now_s: float) -> str | None:
        """Returns a line if the task is slow and this has not been said yet."""
        # A wait for data or devices is measured against a whole step: of its parts most take no time at all.
        of_step = task.kind in ("input", "devices")
        median_s = self.median_s("step" if of_step else task.kind)
        if task.kind not in SLOW_AT_LEAST_S or median_s is None or task.position == self._reported:
            return None
        seconds = now_s - task.begin_s
        if seconds < max(SLOW_FACTOR * median_s, SLOW_AT_LEAST_S[task.kind]):
            return None
        self._reported = task.position
        usual = "a step" if of_step else f"a {task.kind}"
        return f"waiting for {task.what} for {seconds:.1f} s; {usual} takes {median_s:.3g} s as a rule"


class Judge:
    """Decides from signs of life which other process is lost. It knows no clock but the one that is passed in."""

    def __init__(self, me: int, num_processes: int, *, timeout_s: float, begin_s: float) -> None:
        self._others = [i for i in range(num_processes) if i != me]
        self._timeout_s = timeout_s
        self._doubt_s = SILENT_BEATS * interval_s(timeout_s)
        self._begin_s = begin_s
        self._lives: dict[int, Life] = {}
        self._changed_s: dict[int, float] = {}
        self._moved_s: dict[int, float] = {}
        self._heard_s = begin_s

    def hear(self, lives: dict[int, Life], now_s: float) -> None:
        """Takes the newest signs of the others, as the coordinator passed them on."""
        self._heard_s = now_s
        for i, life in lives.items():
            before = self._lives.get(i)
            if before is None or life.beat != before.beat or life.ended:
                self._changed_s[i] = now_s
            if before is None or life.position != before.position or life.ended:
                self._moved_s[i] = now_s
            self._lives[i] = life

    def restart(self, now_s: float) -> None:
        """Forgets all silence so far: this process was stopped itself, and could not hear."""
        self._begin_s = self._heard_s = now_s
        self._changed_s = dict.fromkeys(self._changed_s, now_s)
        self._moved_s = dict.fromkeys(self._moved_s, now_s)

    def verdict(
        self, task: Task, now_s: float, *, usual_s: float | None = None, silence_limit_s: float = math.inf
    ) -> str | None:
        """Returns a line that names the process that is lost, None if none is.

        Args:
            task: what this process is doing.
            now_s: the time on the clock of this process.
            usual_s: the median time of a step, None in the beginning.
            silence_limit_s: a process is lost after so long a silence already, since something else has failed.
        """
        limit_s = min(self._timeout_s, silence_limit_s)
        for life in self._lives.values():
            if life.failure:
                return f"{life} failed: {life.failure}"
        silence_s = now_s - self._heard_s
        if silence_s >= limit_s:  # signs go through process 0
            return f"{self._name(0)} was lost: it has not answered for {silence_s:.0f} s"
        for i in self._others:
            silence_s = now_s - self._changed_s.get(i, self._begin_s)
            if silence_s >= limit_s:
                return f"{self._name(i)} was lost: no sign of life for {silence_s:.0f} s"
            if silence_s >= self._doubt_s:
                return None  # it has not stalled: it will turn out to be lost, or be heard again
        waited_s = now_s - max(task.begin_s, self._begin_s)
        patience = SLOW_FACTOR if task.kind in ("start", "compiling") else 1.0
        if waited_s < patience * self._timeout_s:
            return None
        behind = [i for i in self._others if i in self._lives and self._lives[i].position < task.position]
        behind = [i for i in behind if now_s - self._moved_s[i] >= self._timeout_s]
        if behind:
            last = min(behind, key=lambda i: self._lives[i].position)
            stuck_s = now_s - self._moved_s[last]
            return f"{self._name(last)} stalled: waiting for {self._lives[last].waits_for} for {stuck_s:.0f} s"
        if task.kind == "devices" and waited_s >= max(self._timeout_s, SLOW_FACTOR * (usual_s or self._timeout_s)):
            return (
                f"all processes have waited for {task.what} for {waited_s:.0f} s and none is behind; is the network "
                "between two of them cut, or a device stuck?"
            )
        return None

    def guess(self, now_s: float, *, silence_limit_s: float) -> str:
        """Returns a line about the process that has been silent longest; if none has, it is the coordinator."""
        silence_s = {i: now_s - self._changed_s.get(i, self._begin_s) for i in self._others}
        suspect = max(silence_s, key=lambda i: silence_s[i])
        if silence_s[suspect] < silence_limit_s and 0 in silence_s:
            suspect = 0  # all signs come through it, so the last ones were in time
        return f"{self._name(suspect)} was lost: no sign of life for {silence_s[suspect]:.0f} s"

    def _name(self, i: int) -> str:
        return str(self._lives.get(i, f"process {i} (never heard of)"))


class Watchdog:
    """The watching thread of one process, and where its main thread says what it is doing."""

    def __init__(self, *, timeout_s: float) -> None:
        """Takes the time after which a process that is dead or stuck ends the others."""
        self._timeout_s = timeout_s
        self._interval_s = interval_s(timeout_s)
        self._task = Task("start", "its start", time.monotonic(), 0)
        self._step_begin_s: float | None = None
        self._slow = SlowTasks()
        self._silence_limit_s = math.inf
        self._ended = False
        self._failure = ""
        self._mailbox: Mailbox | None = None
        self._judge: Judge | None = None
        self._life = first_life()
        if jax.process_count() > 1:
            self._mailbox = Mailbox()
            self._judge = Judge(jax.process_index(), jax.process_count(), timeout_s=timeout_s, begin_s=time.monotonic())
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._watch, name="watchdog", daemon=True)]
        if self._mailbox is not None:
            self._threads.append(threading.Thread(target=self._correspond, name="signs of life", daemon=True))

    def __enter__(self) -> "Watchdog":
        if self._judge is not None:
            _at_abort(self._aborted)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        del kind, traceback
        if self._judge is not None and lost_touch(error):
            self._end_because_of(error)
        self._failure = "" if error is None else " ".join(str(error).split()) or type(error).__name__
        self._ended = True
        self._closed.set()
        for thread in self._threads:
            thread.join(self._timeout_s)
        if self._judge is not None:
            if error is not None and jax.process_index() == 0:
                time.sleep(2 * self._interval_s)  # the others hear of it through this process
            _at_abort(None)

    def doing(self, kind: Kind, what: str) -> None:
        """Notes what the main thread does or waits for from now on."""
        now_s = time.monotonic()
        before = self._task
        if before.kind in ("validation", "checkpoint"):
            self._slow.done(before.kind, now_s - before.begin_s)
        if kind not in ("input", "devices"):
            self._step_begin_s = None  # the next time is not one of a step alone
        self._task = Task(kind, what, now_s, before.position + 1)

    def stepped(self) -> None:
        """Notes that a step is done."""
        now_s = time.monotonic()
        if self._step_begin_s is not None:
            self._slow.done("step", now_s - self._step_begin_s)
        self._step_begin_s = now_s

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._closed.wait(self._interval_s):
            now_s, task = time.monotonic(), self._task
            slept_s, before_s = now_s - before_s, now_s
            if slept_s > SILENT_BEATS * self._interval_s:  # a laptop was closed, or the process was stopped
                if self._judge is not None:
                    self._judge.restart(now_s)
                continue
            line = self._slow.report(task, now_s)
            if line:
                logger.warning("%s", line)
            if self._judge is not None:
                verdict = self._judge.verdict(
                    task, now_s, usual_s=self._slow.median_s("step"), silence_limit_s=self._silence_limit_s
                )
                if verdict:
                    _end(verdict)

    def _correspond(self) -> None:
        assert self._mailbox is not None
        assert self._judge is not None
        while True:
            ended = self._ended
            task = self._task
            self._life = self._life._replace(
                beat=self._life.beat + 1,
                position=task.position,
                waits_for=task.what,
                ended=ended,
                failure=self._failure if ended else "",
            )
            try:
                lives = self._mailbox.exchange(self._life)
            except jax.errors.JaxRuntimeError as error:  # the coordinator is gone; how long for, the judge counts
                logger.debug("no answer from process 0: %s", error)
            else:
                self._judge.hear(lives, time.monotonic())
            if ended:
                return
            self._closed.wait(self._interval_s)

    def _end_because_of(self, error: BaseException | None) -> NoReturn:
        """Ends the process after a collective failed, once it is known whose fault it was."""
        assert self._judge is not None
        logger.debug("a collective failed", exc_info=error)
        self._silence_limit_s = SILENT_BEATS * self._interval_s
        end_s = time.monotonic() + self._timeout_s + 2 * self._interval_s
        while time.monotonic() < end_s:  # the watching thread ends the process when it knows
            time.sleep(self._interval_s)
        said = " ".join(str(error).split())
        _end(f"the processes of the run cannot reach each other any more: {said[:300]}")

    def _aborted(self) -> None:
        """JAX's service aborts the process; by then it is too late for more than one line."""
        assert self._judge is not None
        now_s = time.monotonic()
        limit_s = SILENT_BEATS * self._interval_s
        _end(
            self._judge.verdict(self._task, now_s, silence_limit_s=limit_s)
            or self._judge.guess(now_s, silence_limit_s=limit_s)
        )


def lost_touch(error: BaseException | None) -> bool:
    """Returns whether an error comes of something that processes do together, at the bottom of what was made of it."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, jax.errors.JaxRuntimeError):
        return OWN_FAULT not in str(error)
    # What is so small that it is computed within the call fails with a ValueError.
    return isinstance(error, ValueError) and "Gloo" in str(error)


def _end(line: str) -> NoReturn:
    """Says why and ends the process at once: a normal exit would wait for the process that is lost."""
    sys.stdout.flush()
    os.write(2, f"ostinato: {line}; the same command goes on from the last checkpoint\n".encode())
    os._exit(ExitCode.PEER_LOST)


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)
_installed: list[object] = []
"""Keeps the function alive that C calls."""


def _at_abort(call: object) -> None:
    """Lets abort() call a function in the thread that aborts; None undoes it.

    A handler of Python's own would run in the main thread, which waits for the peer. When the coordinator dies JAX
    aborts within a second, and asking it not to is not possible (its callback ends in std::bad_cast, jaxlib 0.10.2).
    """
    if not sys.platform.startswith("linux"):
        return
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    if call is None:
        set_handler(signal.SIGABRT, None)
        _installed.clear()
        return
    assert callable(call)
    handler = _HANDLER(lambda _: call())
    _installed.append(handler)
    set_handler(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
