"""What the main thread of a process does or waits for, and whether that takes much longer than usual."""

import statistics
from collections import deque
from typing import Literal, NamedTuple

Kind = Literal["start", "input", "devices", "compiling", "validation", "checkpoint"]

SLOW_FACTOR = 10.0
"""What takes so many times its median is reported."""
SLOW_AT_LEAST_S = {"step": 1.0, "validation": 1.0, "checkpoint": 30.0}
"""And what takes less than this is not. Starting and compiling take their time."""
KEPT_TIMES = 101


class Activity(NamedTuple):
    """What a process does or waits for."""

    kind: Kind
    what: str
    begin_s: float
    position: int
    """How many activities came before; equal on all processes that are equally far."""


class SlowActivities:
    """Knows how long a step, a validation and a checkpoint take, and says once when one takes much longer."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        self._reported: dict[str, int] = {}

    def done(self, kind: str, seconds: float) -> None:
        """Notes how long a "step", a "validation" or a "checkpoint" took."""
        self._times.setdefault(kind, deque(maxlen=KEPT_TIMES)).append(seconds)

    def median_s(self, kind: str) -> float | None:
        times = self._times.get(kind)
        return statistics.median(times) if times else None

    def report(self, activity: Activity, now_s: float) -> str | None:
        """Returns a line if the activity is slow and this has not been said yet."""
        # Of the parts of a step most take no time at all, so a wait for data or devices is compared with a whole step.
        kind = "step" if activity.kind in ("input", "devices") else activity.kind
        median_s, seconds = self.median_s(kind), now_s - activity.begin_s
        if kind not in SLOW_AT_LEAST_S or median_s is None or self._reported.get(kind) == activity.position:
            return None
        if seconds < max(SLOW_FACTOR * median_s, SLOW_AT_LEAST_S[kind]):
            return None
        self._reported[kind] = activity.position
        return f"waiting for {activity.what} for {seconds:.1f} s; a {kind} takes {median_s:.3g} s as a rule"
