"""The loader of training batches alone, for `benchmarks.worker`: k batches, one after the other, without a step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ostinato.configs.schema import DataConfig
from ostinato.data.records import Dataset
from ostinato.train.data import prefetch, training_batches


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what reads k batches of a dataset, the way `ostinato train` does."""
    source = Dataset.open(request["dataset"]).source("train")
    stream = prefetch(training_batches(source, DataConfig(**request["data"]), seed=0), first_step=0)

    def run(num_batches: int) -> float:
        weight = 0.0
        for _ in range(num_batches):
            weight += float(next(stream).weights.sum())
        return weight / max(1, num_batches) if num_batches else np.nan

    return run
