"""Training and held-out likelihood of one way to write music as rows, on our own network, for `benchmarks.worker`.

Whether a row is a note (five fields) or a token (one field), everything else is the same code. `run(0)` measures: the
nats of all held-out rows together. Any other `run(k)` trains for k steps.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from ostinato.benchmarks.step_ours import Training
from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig
from ostinato.data.records import TFRecordSource
from ostinato.model.network import MusicModel
from ostinato.train.data import evaluation_batches, prefetch, training_batches
from ostinato.train.memory import keep_freed_memory
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import evaluate, make_eval_step


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what trains on `request["train"]` and measures on `request["held_out"]`."""
    keep_freed_memory()
    sizes, batch_size, length = tuple(request["field_sizes"]), request["batch_size"], request["sequence_length"]
    held_out = _Pieces(request["held_out"], sizes)
    data = DataConfig(batch_size=batch_size, sequence_length=length)
    batches = prefetch(training_batches(_Pieces(request["train"], sizes).source, data, seed=0), first_step=0)
    optimizer = make_optimizer(OptimizerConfig(learning_rate=request["learning_rate"]), request["num_steps"])
    model = MusicModel(
        ModelConfig(hidden_size=request["hidden_size"], num_layers=request["num_layers"], dropout=0.0), sizes
    )
    training = Training(model, optimizer, batch_size)
    eval_step = make_eval_step(model, training.mesh)

    def run(num_steps: int) -> float:
        if num_steps:
            return training.run(batches, num_steps)
        parts, params = evaluation_batches(held_out.source, batch_size, length), training.state.params
        totals = evaluate(eval_step, params, model, parts, mesh=training.mesh, batch_size=batch_size)
        return float(totals.nll_f.sum())

    return run


class _Pieces:
    """Rows of pieces in memory, as far as `train.data` looks at a split and its codec."""

    def __init__(self, path: str, field_sizes: tuple[int, ...]) -> None:
        with np.load(path) as arrays:
            self.lengths, self._steps = arrays["lengths"], arrays["steps"]
        self._ends = np.cumsum(self.lengths)
        self.codec = SimpleNamespace(
            fields=field_sizes,
            start=tuple(self._steps[0].tolist()),
            end=tuple(self._steps[-1].tolist()),
            transform=lambda name, steps, amount: steps,
        )

    @property
    def source(self) -> TFRecordSource:
        return cast(TFRecordSource, self)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> Any:
        return SimpleNamespace(steps=self._steps[self._ends[i] - self.lengths[i] : self._ends[i]])
