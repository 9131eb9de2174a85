"""Training and held-out likelihood of one way to write music as rows, on our own network, for `benchmarks.worker`.

Whether a row is a note (five fields) or a token (one field), everything else is the same code. `run(0)` measures: the
nats of all held-out rows together. Any other `run(k)` trains for k steps.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np

from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig
from ostinato.model.network import MusicModel
from ostinato.music.records import TFRecordSource
from ostinato.train.data import evaluation_batches, prefetch, training_batches
from ostinato.train.memory import keep_freed_memory
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import (
    evaluate,
    make_eval_step,
    make_mesh,
    make_state_init,
    make_train_step,
    place,
    state_shardings,
)


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
    mesh = make_mesh(batch_size)
    train_step = make_train_step(model, optimizer, mesh, jax.random.key(1))
    eval_step = make_eval_step(model, mesh)
    init = make_state_init(model, optimizer, batch_size)
    state = jax.jit(init, out_shardings=state_shardings(mesh))(jax.random.key(0))

    def run(num_steps: int) -> float:
        nonlocal state
        if not num_steps:
            parts = evaluation_batches(held_out.source, batch_size, length)
            return float(evaluate(eval_step, state.params, model, parts, mesh=mesh, batch_size=batch_size).nll_f.sum())
        loss = np.nan
        for _ in range(num_steps):
            state, metrics = train_step(state, place(next(batches), mesh, batch_size))
            loss = metrics.loss
        return float(loss)

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
            transpose=lambda steps, semitones: steps,
            scale_tempo=lambda steps, factor: steps,
            shift_velocity=lambda steps, amount: steps,
        )

    @property
    def source(self) -> TFRecordSource:
        return cast(TFRecordSource, self)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> Any:
        return SimpleNamespace(steps=self._steps[self._ends[i] - self.lengths[i] : self._ends[i]])
