"""How fast a run is, how long the rest of it takes, and how much memory it needs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import jax

from ostinato.configs.schema import DataConfig
from ostinato.data.records import TFRecordSource


class Throughput:
    """Measures the speed of training since `restart`."""

    def __init__(self, data: DataConfig, notes_per_row: float) -> None:
        """Takes the size of a batch, and the notes that a row of the training data carries on average."""
        self._rows_per_step = data.batch_size * data.sequence_length
        self._notes_per_row = notes_per_row
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begins to measure at a step: a validation or a checkpoint lies behind."""
        self._step, self._begin_s, self._input_wait_s = step, time.perf_counter(), 0.0

    @contextmanager
    def waiting_for_input(self) -> Iterator[None]:
        """Measures how long the body waits for data."""
        begin_s = time.perf_counter()
        yield
        self._input_wait_s += time.perf_counter() - begin_s

    def rates(self, step: int) -> dict[str, float]:
        """Returns steps, rows and notes a second, and the seconds of each step in which the data was waited for."""
        steps = step - self._step
        steps_per_s = steps / max(1e-9, time.perf_counter() - self._begin_s)
        return {
            "steps_per_s": steps_per_s,
            "rows_per_s": steps_per_s * self._rows_per_step,
            "notes_per_s": steps_per_s * self._rows_per_step * self._notes_per_row,
            "input_wait_s": self._input_wait_s / max(1, steps),
        }


class TimeLeft:
    """How long the rest of a run takes by the clock: steps and validations that are left, each as long as the median.

    What is done first is left out, the first steps and the first validation, for they hold the time of compiling. With
    early stopping a run may be over before.
    """

    def __init__(self, num_steps: int, evaluate_every: int, *, validates: bool) -> None:
        """Takes the steps of the whole run, and those between validations, where there are any."""
        self._num_steps, self._evaluate_every, self._validates = num_steps, evaluate_every, validates
        self._step_s: list[float] = []
        self._validation_s: list[float] = []

    def steps_took(self, seconds: float) -> None:
        """Hears how long each of some steps took."""
        self._step_s.append(seconds)

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Measures how long the body takes to validate."""
        begin_s = time.perf_counter()
        yield
        self._validation_s.append(time.perf_counter() - begin_s)

    def seconds(self, step: int) -> float | None:
        """Returns how long it is to the end of the run, after a step; None as long as it is not known."""
        of_steps, of_validations = self._step_s[1:], self._validation_s[1:]
        num_validations = -(-self._num_steps // self._evaluate_every) - step // self._evaluate_every
        if not self._validates:
            num_validations = 0
        if not of_steps or (num_validations and not self._validation_s):
            return None
        of_validations = of_validations or self._validation_s or [0.0]
        return (self._num_steps - step) * median(of_steps) + num_validations * median(of_validations)

    def text(self, step: int) -> str:
        """Returns `, about 5 min left` after a step; nothing where it is not known, or nothing is left."""
        seconds = self.seconds(step)
        if not seconds:
            return ""
        hours, minutes = seconds / 3600, seconds / 60
        left = f"{hours:.1f} h" if hours >= 1.5 else f"{minutes:.0f} min" if minutes >= 1.5 else f"{seconds:.0f} s"
        return f", about {left} left"


def notes_per_row(sources: Sequence[TFRecordSource], rows: Sequence[int]) -> float:
    """Returns how many notes a row of a batch carries on average, if so many rows of it are of each source."""
    means = (source.num_notes / max(1, int(source.lengths.sum())) for source in sources)
    return sum(count * mean for count, mean in zip(rows, means, strict=True)) / sum(rows)


def device_memory() -> dict[str, float]:
    """Returns the most that a device of this host has held so far, where devices have a memory of their own."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [stat["peak_bytes_in_use"] for stat in stats if stat and "peak_bytes_in_use" in stat]
    return {"device_memory_mb": max(peaks) / 1e6} if peaks else {}
