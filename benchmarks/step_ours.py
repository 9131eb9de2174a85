"""The training step of `ostinato train`, for `benchmarks.worker`."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax

from ostinato.configs.schema import ModelConfig, OptimizerConfig
from ostinato.model.network import MusicModel
from ostinato.train.batch import Batch
from ostinato.train.memory import keep_freed_memory
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import make_mesh, make_state_init, make_train_step, place, state_shardings


class Training:
    """A network in training, its state after the steps so far."""

    def __init__(self, model: MusicModel, optimizer: optax.GradientTransformation, batch_size: int) -> None:
        self.batch_size = batch_size
        self.mesh = make_mesh(batch_size)
        self._step = make_train_step(model, optimizer, self.mesh, jax.random.key(1))
        init = make_state_init(model, optimizer, batch_size)
        self.state = jax.jit(init, out_shardings=state_shardings(self.mesh))(jax.random.key(0))

    def run(self, batches: Iterator[Batch], num_steps: int) -> float:
        """Takes steps to their end, and returns the loss of the last in nats."""
        loss = np.nan
        for _ in range(num_steps):
            self.state, metrics = self._step(self.state, place(next(batches), self.mesh, self.batch_size))
            loss = metrics.loss
        return float(loss)


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what runs k steps on the batches of `request`."""
    keep_freed_memory()
    arrays = np.load(request["batches"])
    columns = [arrays[name] for name in arrays.files]  # in the order of Batch
    batches = itertools.cycle([Batch(*one) for one in zip(*columns, strict=True)])
    config = ModelConfig(
        hidden_size=request["hidden_size"],
        num_layers=request["num_layers"],
        embedding_size=request["embedding_size"],
        head_size=request["head_size"],
        residual=False,
        dropout=0.0,
    )
    optimizer = make_optimizer(
        OptimizerConfig(learning_rate=request["learning_rate"], schedule="constant", warmup_steps=0), num_steps=1
    )
    training = Training(
        MusicModel(config, tuple(request["field_sizes"])), optimizer, batch_size=arrays["inputs"].shape[1]
    )
    return lambda num_steps: training.run(batches, num_steps)
