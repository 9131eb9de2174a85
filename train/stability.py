"""Judges each step by its loss: counts those that were skipped, and notices spikes.

A step whose loss or gradient is not a number leaves parameters and optimizer as they are (train/step.py).
"""

import math
import statistics
from collections import deque
from collections.abc import Callable

from ostinato.configs.errors import OstinatoError
from ostinato.train.run_metadata import Progress

SPIKE_SIGMAS = 6.0
SPIKE_FACTOR = 1.2
"""A spike lies so many standard deviations and by so large a factor above the mean of the steps before."""
WINDOW_STEPS = 100
MIN_STEPS = 20
SHOWN_PIECES = 8


class UnstableError(OstinatoError):
    """Too many steps in a row were skipped, or the parameters are no longer numbers. The loop rolls the run back."""


class LossWatch:
    """Sees the loss of each step, in order. All hosts see the same and decide the same."""

    def __init__(self, *, skip_limit: int, pieces_of: Callable[[int], list[str]]) -> None:
        """Takes the steps in a row that may be skipped, and the function from a step to the ids of its pieces."""
        self._skip_limit = skip_limit
        self._pieces_of = pieces_of
        self._losses: deque[float] = deque(maxlen=WINDOW_STEPS)

    def look(self, progress: Progress, step: int, *, loss: float, grad_norm: float) -> tuple[Progress, str | None]:
        """Returns the progress with the skipped steps counted, and what there is to say about the step.

        Raises:
            UnstableError: the limit is reached.
        """
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            progress = progress._replace(skipped=progress.skipped + 1, skipped_in_row=progress.skipped_in_row + 1)
            found = f"step {step}: the loss is {loss}, the norm of its gradient {grad_norm}"
            if progress.skipped_in_row >= self._skip_limit:
                raise UnstableError(f"{found}; so it was {progress.skipped_in_row} times in a row")
            return progress, f"{found}; the step is skipped; pieces {self._pieces(step)}"
        warning = None
        if len(self._losses) >= MIN_STEPS:
            mean, sigma = statistics.fmean(self._losses), statistics.pstdev(self._losses)
            if loss > max(mean + SPIKE_SIGMAS * sigma, SPIKE_FACTOR * mean):
                warning = f"step {step}: the loss jumps to {loss:.4g} from {mean:.4g}; pieces {self._pieces(step)}"
        self._losses.append(loss)
        return progress._replace(skipped_in_row=0), warning

    def _pieces(self, step: int) -> str:
        ids = self._pieces_of(step - 1)  # batch k makes step k + 1
        more = f" and {len(ids) - SHOWN_PIECES} more" if len(ids) > SHOWN_PIECES else ""
        return ", ".join(name[:16] for name in ids[:SHOWN_PIECES]) + more
