"""Watches a run from a thread: says what a slow step waits for, and ends the process when another one is lost.

JAX's heartbeats do not see a process that lives but is stuck, a collective whose peer is gone waits for ever, and a
normal exit waits for the peer once more. So each process leaves heartbeats with what it is doing; where one is missing
or behind, the others say which in one line and end with exit code 76. A process that holds the lock of the run's folder
looks at each beat whether it still does, and ends with 2 when it does not.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import jax

from ostinato.configs.errors import ExitCode
from ostinato.train.hosts.abort import exit_now, is_communication_error, on_abort
from ostinato.train.hosts.activity import Activity, Kind, SlowActivities
from ostinato.train.hosts.failure_detector import SILENT_BEATS, FailureDetector, interval_s
from ostinato.train.hosts.heartbeat import HeartbeatStore, first_heartbeat

logger = logging.getLogger(__name__)


class Watchdog:
    """The watching thread of one process, and where its main thread says what it is doing."""

    def __init__(self, *, timeout_s: float) -> None:
        """Takes the time after which a process that is dead or stuck ends the others."""
        self._timeout_s = timeout_s
        self._interval_s = interval_s(timeout_s)
        self._activity = Activity("start", "its start", time.monotonic(), 0)
        self._validation: Activity | None = None
        self._has_validated = False
        self._step_begin_s: float | None = None
        self._slow = SlowActivities()
        self._silence_limit_s = math.inf
        self._ended, self._failure = False, ""
        self._lost_lock: Callable[[], str | None] = lambda: None
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._watch, name="watchdog", daemon=True)]
        self._detector: FailureDetector | None = None
        if jax.process_count() > 1:
            self._detector = FailureDetector(
                jax.process_index(), jax.process_count(), timeout_s=timeout_s, begin_s=time.monotonic()
            )
            exchange = (HeartbeatStore(), self._detector)
            self._threads.append(
                threading.Thread(target=self._exchange_heartbeats, args=exchange, name="heartbeats", daemon=True)
            )

    def __enter__(self) -> "Watchdog":
        if self._detector is not None:
            on_abort(self._exit_in_abort)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        del kind, traceback
        if self._detector is not None and is_communication_error(error):
            self._exit_for(error)
        self._failure = "" if error is None else " ".join(str(error).split()) or type(error).__name__
        self._ended = True
        self._closed.set()
        for thread in self._threads:
            thread.join(self._timeout_s)
        if self._detector is not None:
            if error is not None and jax.process_index() == 0:
                time.sleep(2 * self._interval_s)  # the others hear of it through this process
            on_abort(None)

    @contextmanager
    def guarding(self, lost_lock: Callable[[], str | None]) -> Iterator[None]:
        """Ends this process at the first beat at which a lock says why it is lost: it must write nothing more."""
        before, self._lost_lock = self._lost_lock, lost_lock
        try:
            yield
        finally:
            self._lost_lock = before

    def set_activity(self, kind: Kind, what: str) -> None:
        """Notes what the main thread does or waits for from now on."""
        now_s, before = time.monotonic(), self._activity
        if before.kind == "checkpoint":
            self._slow.done("checkpoint", now_s - before.begin_s)
        if kind not in ("input", "devices"):
            self._step_begin_s = None  # the next time is not one of a step alone
        self._activity = Activity(kind, what, now_s, before.position + 1)

    def step_done(self) -> None:
        """Notes that a step is done."""
        now_s = time.monotonic()
        if self._step_begin_s is not None:
            self._slow.done("step", now_s - self._step_begin_s)
        self._step_begin_s = now_s

    @contextmanager
    def validation(self, step: int) -> Iterator[None]:
        """Notes that the activities meanwhile are those of a validation, which is timed as a whole."""
        self._step_begin_s, begin_s = None, time.monotonic()
        self._validation = Activity("validation", f"the validation after step {step}", begin_s, step)
        yield
        self._validation = None
        if self._has_validated:  # the first one compiles
            self._slow.done("validation", time.monotonic() - begin_s)
        self._has_validated = True

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._closed.wait(self._interval_s):
            if lost := self._lost_lock():
                exit_now(lost, ExitCode.USAGE)
            now_s, activity = time.monotonic(), self._activity
            slept_s, before_s = now_s - before_s, now_s
            if slept_s > SILENT_BEATS * self._interval_s:  # a laptop was closed, or the process was stopped
                if self._detector is not None:
                    self._detector.restart(now_s)
                continue
            for watched in (activity, self._validation):
                if watched and (line := self._slow.report(watched, now_s)):
                    logger.warning("%s", line if watched is activity else f"{line}; now it waits for {activity.what}")
            if self._detector is not None:
                usual_s, limit_s = self._slow.median_s("step"), self._silence_limit_s
                failure = self._detector.failure(activity, now_s, usual_s=usual_s, silence_limit_s=limit_s)
                if failure:
                    exit_now(failure)

    def _exchange_heartbeats(self, store: HeartbeatStore, detector: FailureDetector) -> None:
        heartbeat, ended = first_heartbeat(), False
        while not ended:
            activity, ended = self._activity, self._ended
            heartbeat = heartbeat._replace(
                beat=heartbeat.beat + 1,
                position=activity.position,
                waits_for=activity.what,
                ended=ended,
                failure=self._failure if ended else "",
            )
            try:
                detector.hear(store.exchange(heartbeat), time.monotonic())
            except jax.errors.JaxRuntimeError as error:  # the coordinator is gone; the detector counts how long for
                logger.debug("no answer from process 0: %s", error)
            self._closed.wait(0 if ended else self._interval_s)

    def _exit_for(self, error: BaseException | None) -> NoReturn:
        """Ends the process after a collective failed, once it is known whose fault it was."""
        logger.debug("a collective failed", exc_info=error)
        self._silence_limit_s = SILENT_BEATS * self._interval_s
        time.sleep(self._timeout_s + 2 * self._interval_s)  # the watching thread ends the process when it knows
        exit_now(f"the processes of the run cannot reach each other any more: {' '.join(str(error).split())[:300]}")

    def _exit_in_abort(self) -> None:
        """JAX's service aborts the process; by then it is too late for more than one line."""
        assert self._detector is not None
        now_s, limit_s = time.monotonic(), SILENT_BEATS * self._interval_s
        failure = self._detector.failure(self._activity, now_s, silence_limit_s=limit_s)
        exit_now(failure or self._detector.suspect(now_s, silence_limit_s=limit_s))
