"""How fast a run is, and how much memory it takes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


def notes_per_row(sources: Sequence[TFRecordSource], rows: Sequence[int]) -> float:
    """Returns how many notes a row of a batch carries on average, if so many rows of it are of each source."""
    means = (source.num_notes / max(1, int(source.lengths.sum())) for source in sources)
    return sum(count * mean for count, mean in zip(rows, means, strict=True)) / sum(rows)


def device_memory() -> dict[str, float]:
    """Returns the most that a device of this host has held so far, where devices have a memory of their own."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [stat["peak_bytes_in_use"] for stat in stats if stat and "peak_bytes_in_use" in stat]
    return {"device_memory_mb": max(peaks) / 1e6} if peaks else {}
