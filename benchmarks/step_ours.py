"""The training step of `ostinato train`, for `benchmarks.worker`."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ostinato.configs.schema import ModelConfig, OptimizerConfig
from ostinato.model.network import MusicModel
from ostinato.train.data import Batch
from ostinato.train.memory import keep_freed_memory
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import make_mesh, make_state_init, make_train_step, place, state_shardings


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what runs k steps on the batches of `request`."""
    keep_freed_memory()
    arrays = np.load(request["batches"])
    columns = [arrays[name] for name in Batch._fields]
    batches = itertools.cycle([Batch(*one) for one in zip(*columns, strict=True)])
    config = ModelConfig(
        hidden_size=request["hidden_size"],
        num_layers=request["num_layers"],
        embedding_size=request["embedding_size"],
        head_size=request["head_size"],
        residual=False,
        dropout=0.0,
    )
    model = MusicModel(config, tuple(request["field_sizes"]))
    optimizer = make_optimizer(
        OptimizerConfig(learning_rate=request["learning_rate"], schedule="constant", warmup_steps=0), num_steps=1
    )
    batch_size = arrays["inputs"].shape[1]
    mesh = make_mesh(batch_size)
    step = make_train_step(model, optimizer, mesh, jax.random.key(1))
    init = make_state_init(model, optimizer, batch_size)
    state = jax.jit(init, out_shardings=state_shardings(mesh))(jax.random.key(0))

    def run(num_steps: int) -> float:
        nonlocal state
        loss = np.nan
        for _ in range(num_steps):
            state, metrics = step(state, place(next(batches), mesh, batch_size))
            loss = metrics.loss
        return float(loss)

    return run
