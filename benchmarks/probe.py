"""A short training run that is looked at: how long its first step takes, or how long it waits for its batches.

    python -m ostinato.benchmarks.probe start|waits DATASET WORKDIR CONFIG

CONFIG is TrainConfig as JSON; compiled functions are kept where `ostinato train` keeps them (XDG_CACHE_HOME). The last
line is JSON. `start`: seconds from the call of `train` to the line of the log with the first validation loss, and to
that of the first step, when its result is there, and the CPU seconds until then. `waits`, by a trace of JAX's
profiler: the seconds between the second request for a batch and the last, the steps that were begun meanwhile, and of
the seconds those inside `next(stream)`.
"""

import json
import logging
import re
import resource
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jax

from ostinato.configs.schema import TrainConfig
from ostinato.data.records import Dataset
from ostinato.launch.cache import cache_compilations
from ostinato.train import loop
from ostinato.train.data import Batch, prefetch
from ostinato.train.run_metadata import config_from_json

WAIT = "next(stream)"


class _Times(logging.Handler):
    """Notes when the log tells of a step for the first time: seconds and CPU seconds since it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = _clocks()
        self.after: dict[int, tuple[float, ...]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        step = re.match(r"step (\d+) of", record.getMessage())
        if step:
            times = tuple(end - begin for begin, end in zip(self._begin, _clocks(), strict=True))
            self.after.setdefault(int(step[1]), times)


def _clocks() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def _start(config: TrainConfig, dataset: Dataset, workdir: Path) -> dict[str, float]:
    """Returns when the first validation and the first step were done."""
    cache_compilations()
    times = _Times()
    logging.getLogger("ostinato").addHandler(times)
    logging.getLogger("ostinato").setLevel(logging.INFO)
    loop.train(config, dataset, workdir)
    step_s, step_cpu_s = times.after[1]
    return {"validation_s": times.after[0][0], "step_s": step_s, "step_cpu_s": step_cpu_s}


def _waits(config: TrainConfig, dataset: Dataset, workdir: Path) -> dict[str, float]:
    """Returns the numbers of a trace. The first step is left out: it compiles, and the first batches are not there."""
    loop.prefetch = _annotated
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # a line for each Python function would slow the loop down
    with jax.profiler.trace(str(workdir / "trace"), profiler_options=options):
        loop.train(config, dataset, workdir / "run")
    (path,) = (workdir / "trace").glob("**/*.xplane.pb")
    plane = jax.profiler.ProfileData.from_file(str(path)).find_plane_with_name("/host:CPU")
    events = [event for line in plane.lines for event in line.events]
    waits = sorted((event.start_ns, event.duration_ns) for event in events if event.name == WAIT)[1:]
    return {
        "steps": len(waits) - 1,
        "loop_s": (sum(waits[-1]) - waits[0][0]) / 1e9,
        "wait_s": sum(duration_ns for _, duration_ns in waits) / 1e9,
        "longest_wait_s": max(duration_ns for _, duration_ns in waits) / 1e9,
    }


def _annotated(*args: Any, **kwargs: Any) -> Generator[Batch]:
    """Yields what `prefetch` does; the trace shows each wait."""
    stream = prefetch(*args, **kwargs)
    try:
        while True:
            with jax.profiler.TraceAnnotation(WAIT):
                batch = next(stream)
            yield batch
    finally:
        stream.close()


if __name__ == "__main__":
    look = {"start": _start, "waits": _waits}[sys.argv[1]]
    config = config_from_json(json.loads(sys.argv[4]))
    print(json.dumps(look(config, Dataset.open(sys.argv[2]), Path(sys.argv[3]))))
