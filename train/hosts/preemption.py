"""SIGTERM, which a batch system sends before it takes a machine away, as a question that the loop asks each step."""

import itertools
import signal
import threading

import jax
from jax.experimental import multihost_utils


class StopSignal:
    """Is true once SIGTERM has come, on every host after the same step.

    With several processes JAX's preemption service hears the signal on any of them and agrees on a step that none has
    passed yet. A process alone needs no agreement, and hears the signal only if this is entered by the main thread,
    as some notebooks do not. To be entered after JAX's distributed start.
    """

    def __init__(self) -> None:
        self._came = threading.Event()
        self._questions = itertools.count(1)
        self._listens = False

    def __enter__(self) -> "StopSignal":
        self._listens = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
        if self._listens:
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._came.set())
        return self

    def __exit__(self, *_: object) -> None:
        if self._listens:
            signal.signal(signal.SIGTERM, self._before)

    def __call__(self) -> bool:
        """Returns whether to stop now; to be asked once after each step, by every host."""
        if jax.process_count() == 1:
            return self._came.is_set()
        # Not the number of the step: that one goes back when a run is rolled back to a checkpoint.
        return multihost_utils.reached_preemption_sync_point(next(self._questions))
