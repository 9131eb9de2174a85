"""A run that ends after its first step: how long that takes after the import.

    python -m ostinato.benchmarks.first_step DATASET WORKDIR CONFIG

CONFIG is TrainConfig as JSON; compiled functions are kept where `ostinato train` keeps them (XDG_CACHE_HOME). The last
line is JSON: seconds from the call of `train` to the line of the log that tells the first validation loss, and to that
of the first step's loss, which is when its result is there; and the CPU seconds until then.
"""

import json
import logging
import re
import resource
import sys
import time
from pathlib import Path

from ostinato.data.records import Dataset
from ostinato.launch.commands.stages import cache_compilations
from ostinato.train.loop import train
from ostinato.train.run_metadata import config_from_json


class _Times(logging.Handler):
    """Notes when the log tells of a step for the first time: seconds and CPU seconds since it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = _clocks()
        self.after: dict[int, tuple[float, ...]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        told = re.match(r"step (\d+) of", record.getMessage())
        if told:
            times = tuple(end - begin for begin, end in zip(self._begin, _clocks(), strict=True))
            self.after.setdefault(int(told[1]), times)


def _clocks() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def main() -> None:
    """Trains for one step and prints one line of JSON."""
    dataset, workdir, config = sys.argv[1], Path(sys.argv[2]), config_from_json(json.loads(sys.argv[3]))
    cache_compilations()
    times = _Times()
    logging.getLogger("ostinato").addHandler(times)
    logging.getLogger("ostinato").setLevel(logging.INFO)
    train(config, Dataset.open(dataset), workdir)
    step_s, step_cpu_s = times.after[1]
    print(json.dumps({"validation_s": times.after[0][0], "step_s": step_s, "step_cpu_s": step_cpu_s}))


if __name__ == "__main__":
    main()
