"""Says now and then, in the log, how far the writing of pieces is and how long the rest of it takes."""

import logging
import time
from collections.abc import Callable

import numpy as np

from ostinato.sample.controls import Controls
from ostinato.sample.step import State

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
"""Time between two lines."""


class Progress:
    """How far one call is. The clock starts at the first share: compiling, which comes before it, is no measure."""

    def __init__(
        self,
        what: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[float], None] = lambda share: None,
    ) -> None:
        """Makes one that says `what` is being done, and calls `watch` with each share."""
        self._what, self._clock, self._watch = what, clock, watch
        self._begin: tuple[float, float] | None = None
        self._last_told = 0.0

    def tell(self, share: float) -> None:
        """Logs a line if the last one was long ago; `share` of the work is done."""
        self._watch(share)
        now = self._clock()
        if self._begin is None:
            self._begin, self._last_told = (now, share), now
        elif now - self._last_told >= INTERVAL_S and share < 1:
            self._last_told = now
            begin, share_then = self._begin
            done = share - share_then
            left = f"; about {(1 - share) / done * (now - begin):.0f} s left" if done > 0 else ""
            logger.info("%s: %.0f%%%s", self._what, 100 * share, left)


def share_written(state: State, controls: Controls, max_share: float) -> float:
    """Returns how much of the pieces is written, by what is nearest to what ends them.

    Args:
        state: of all blocks.
        controls: the lengths that are asked for.
        max_share: of the rows that are written at most.
    """
    length = controls.length
    begun = np.maximum.reduce([
        np.asarray(state.num_notes) / int(controls.num_notes),
        np.asarray(state.clock.bars) / int(length.bars),
        np.asarray(state.clock.seconds) / float(length.seconds),
        np.full(state.done.shape, max_share),
    ])  # fmt: skip
    return float(np.where(state.done, 1.0, np.clip(begun, 0, 1)).mean())
