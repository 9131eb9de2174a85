"""Decides from heartbeats which other process of a run is lost. It knows no clock but the one that is passed in."""

import math

from ostinato.train.hosts.activity import SLOW_FACTOR, Activity
from ostinato.train.hosts.heartbeat import Heartbeat

MAX_INTERVAL_S = 5.0
SILENT_BEATS = 4
"""A process that has left out so many heartbeats is gone, if something failed."""


def interval_s(timeout_s: float) -> float:
    """Returns the seconds between two heartbeats."""
    return min(MAX_INTERVAL_S, timeout_s / 12)


class FailureDetector:
    """Remembers when each other process was heard last and when it got on last."""

    def __init__(self, me: int, num_processes: int, *, timeout_s: float, begin_s: float) -> None:
        self._others = [i for i in range(num_processes) if i != me]
        self._timeout_s = timeout_s
        self._doubt_s = SILENT_BEATS * interval_s(timeout_s)
        self._newest: dict[int, Heartbeat] = {}
        self.restart(begin_s)

    def restart(self, now_s: float) -> None:
        """Forgets all silence so far: this process begins, or was stopped itself and could not hear."""
        self._begin_s = self._heard_s = now_s
        self._beat_s = dict.fromkeys(self._others, now_s)
        self._moved_s = dict.fromkeys(self._others, now_s)

    def hear(self, heartbeats: dict[int, Heartbeat], now_s: float) -> None:
        """Takes the newest heartbeats of the others, as the coordinator passed them on."""
        self._heard_s = now_s
        for i, heartbeat in heartbeats.items():
            before = self._newest.get(i)
            if before is None or heartbeat.beat != before.beat or heartbeat.ended:
                self._beat_s[i] = now_s
            if before is None or heartbeat.position != before.position or heartbeat.ended:
                self._moved_s[i] = now_s
        self._newest |= heartbeats

    def failure(
        self, activity: Activity, now_s: float, *, usual_s: float | None = None, silence_limit_s: float = math.inf
    ) -> str | None:
        """Returns a line that names the process that is lost, None if none is.

        Args:
            activity: of this process.
            now_s: the time on the clock of this process.
            usual_s: the median time of a step, None in the beginning.
            silence_limit_s: a process is lost after so long a silence already, since something else has failed.
        """
        limit_s = min(self._timeout_s, silence_limit_s)
        for heartbeat in self._newest.values():
            if heartbeat.failure:
                return f"{heartbeat} failed: {heartbeat.failure}"
        silence_s = now_s - self._heard_s
        if silence_s >= limit_s:  # heartbeats go through process 0
            return f"{self._name(0)} was lost: it has not answered for {silence_s:.0f} s"
        for i in self._others:
            silence_s = now_s - self._beat_s[i]
            if silence_s >= limit_s:
                return f"{self._name(i)} was lost: no heartbeat for {silence_s:.0f} s"
            if silence_s >= self._doubt_s:
                return None  # it has not stalled: it will turn out to be lost, or be heard again
        waited_s = now_s - max(activity.begin_s, self._begin_s)
        patience = SLOW_FACTOR if activity.kind in ("start", "compiling") else 1.0
        if waited_s < patience * self._timeout_s:
            return None
        behind = [i for i, heartbeat in self._newest.items() if heartbeat.position < activity.position]
        stuck = [i for i in behind if now_s - self._moved_s[i] >= self._timeout_s]
        if stuck:
            last = min(stuck, key=lambda i: self._newest[i].position)
            return (
                f"{self._name(last)} stalled: waiting for {self._newest[last].waits_for} "
                f"for {now_s - self._moved_s[last]:.0f} s"
            )
        if activity.kind == "devices" and waited_s >= max(self._timeout_s, SLOW_FACTOR * (usual_s or self._timeout_s)):
            return (
                f"all processes have waited for {activity.what} for {waited_s:.0f} s and none is behind; is the "
                "network between two of them cut, or a device stuck?"
            )
        return None

    def suspect(self, now_s: float, *, silence_limit_s: float) -> str:
        """Returns a line about the process that has been silent longest; if none has, it is the coordinator."""
        silence_s = {i: now_s - beat_s for i, beat_s in self._beat_s.items()}
        suspect = max(silence_s, key=lambda i: silence_s[i])
        if silence_s[suspect] < silence_limit_s and 0 in silence_s:
            suspect = 0  # all heartbeats come through it, so the last ones were in time
        return f"{self._name(suspect)} was lost: no heartbeat for {silence_s[suspect]:.0f} s"

    def _name(self, i: int) -> str:
        return str(self._newest.get(i, f"process {i} (never heard of)"))
