"""A short training run that is looked at: how long its first step takes, and how long it waits for its batches.

    python -m ostinato.benchmarks.probe DATASET WORKDIR CONFIG

CONFIG is TrainConfig as JSON; compiled functions are kept where `ostinato train` keeps them (XDG_CACHE_HOME). The last
line is JSON. Of a run of one step: seconds from the call of `train` to the line of the log with the first validation
loss and to that of the step, when its result is there, and the CPU seconds until then. Of several: the seconds from the
second request for a batch to the last answer, and of these the seconds spent waiting for batches.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from ostinato.configs.schema import TrainConfig
from ostinato.data.records import Dataset
from ostinato.launch.cache import cache_compilations
from ostinato.pretrained.models import cache_folder
from ostinato.train import loop
from ostinato.train.batch import Batch
from ostinato.train.data import prefetch
from ostinato.train.run_metadata import config_from_json


class _Times(logging.Handler):
    """Notes when the log tells of a step for the first time: seconds and CPU seconds since it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = time.perf_counter(), time.process_time()
        self.after: dict[int, tuple[float, float]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        step = re.match(r"step (\d+) of", record.getMessage())
        if step:
            begin_s, begin_cpu_s = self._begin
            self.after.setdefault(int(step[1]), (time.perf_counter() - begin_s, time.process_time() - begin_cpu_s))


def probe(config: TrainConfig, dataset: Dataset, workdir: Path) -> dict[str, float]:
    """Trains and returns what was seen. The first batch is left out: nothing is there yet, and its step compiles."""
    waits: list[tuple[float, float]] = []

    def timed(*args: Any, **kwargs: Any) -> Generator[Batch]:
        stream = prefetch(*args, **kwargs)
        try:
            while True:
                start_s = time.perf_counter()
                batch = next(stream)
                waits.append((start_s, time.perf_counter()))
                yield batch
        finally:
            stream.close()

    loop.prefetch = timed
    cache_compilations()
    times = _Times()
    logging.getLogger("ostinato").addHandler(times)
    logging.getLogger("ostinato").setLevel(logging.INFO)
    loop.train(config, dataset, workdir, cache=cache_folder())
    if config.num_steps == 1:
        return {"validation_s": times.after[0][0], "step_s": times.after[1][0], "step_cpu_s": times.after[1][1]}
    later = waits[1:]
    wait_s = sum(end_s - start_s for start_s, end_s in later)
    return {"loop_s": later[-1][1] - later[0][0], "wait_s": wait_s}


if __name__ == "__main__":
    print(json.dumps(probe(config_from_json(json.loads(sys.argv[3])), Dataset.open(sys.argv[1]), Path(sys.argv[2]))))
