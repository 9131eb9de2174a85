"""`ostinato train --dataset DATASET --workdir RUN PRESET`: a training run, from top to bottom."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ostinato.configs.schema import TrainConfig
from ostinato.music.records import Dataset
from ostinato.train.checkpoint import Checkpoints, make_model
from ostinato.train.data import evaluation_batches, prefetch, training_batches
from ostinato.train.description import Progress, check_same_run, describe_run
from ostinato.train.memory import keep_freed_memory
from ostinato.train.metrics import open_metrics, progress_view
from ostinato.train.schedule import learning_rate_schedule, make_optimizer
from ostinato.train.step import (
    evaluate,
    make_eval_step,
    make_mesh,
    make_state_init,
    make_train_step,
    means,
    place,
    rows_of_this_host,
    state_shardings,
)

logger = logging.getLogger(__name__)


class NonFiniteLossError(FloatingPointError):
    """The loss is no longer a number."""


class Result(NamedTuple):
    """How a run ended. Losses are validation losses in nats per step, None without a validation split."""

    step: int
    finished: bool
    """False if `should_stop` ended it: another call goes on."""
    initial_loss: float | None
    last_loss: float | None
    best_step: int | None
    best_loss: float | None


def train(
    config: TrainConfig, dataset: Dataset, workdir: Path, *, should_stop: Callable[[], bool] = lambda: False
) -> Result:
    """Trains a model, or goes on with the run in `workdir` from its latest checkpoint, to the same bits.

    Args:
        config: all settings of the run.
        dataset: needs a split "train"; without "validation" there is no early stopping, and the latest is the best.
        workdir: checkpoints/, metrics.jsonl and tensorboard/ appear here.
        should_stop: asked after each step; if True a checkpoint is written and the run ends, to be resumed later. It
            has to say the same on every host.

    Raises:
        ValueError: the settings do not fit the data, the devices, or the run that is in `workdir`.
        NonFiniteLossError: the loss or its gradient became infinite or NaN. They are looked at with each line of the
            log and before each checkpoint, so up to `log_every` steps late; no checkpoint holds such parameters.
    """
    # 1. Devices and data. Each host reads its own rows of every batch.
    keep_freed_memory()
    batch_size, sequence_length = config.data.batch_size, config.data.sequence_length
    mesh = make_mesh(batch_size // config.accumulate)
    rows = rows_of_this_host(mesh, batch_size)
    batches = training_batches(dataset.source("train"), config.data, seed=config.seed, rows=rows)
    validation = dataset.source("validation") if "validation" in dataset.splits else None
    num_steps = config.num_steps or config.num_epochs * batches.steps_per_epoch
    evaluate_every = config.evaluate_every or batches.steps_per_epoch
    field_names = tuple(field.name for field in dataset.codec.fields)

    # 2. Functions. Nothing is computed or allocated yet.
    params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    model = make_model(config.model, dataset.codec)
    optimizer = make_optimizer(config.optimizer, num_steps)
    learning_rate = jax.jit(learning_rate_schedule(config.optimizer, num_steps))
    init = make_state_init(model, optimizer, batch_size)
    shardings = state_shardings(mesh)
    train_step = make_train_step(
        model, optimizer, mesh, dropout_key, accumulate=config.accumulate, head_steps=config.head_steps
    )
    eval_step = make_eval_step(model, mesh)

    def validate(params: object) -> dict[str, float]:
        assert validation is not None
        parts = evaluation_batches(validation, batch_size, sequence_length, rows=rows)
        return means(evaluate(eval_step, params, model, parts, mesh=mesh, batch_size=batch_size), field_names)

    # 3. The state: from the latest checkpoint, or from the seed. Parameters are born where they live.
    workdir.mkdir(parents=True, exist_ok=True)
    run = describe_run(config, dataset)
    with Checkpoints(workdir, keep=config.keep_checkpoints) as checkpoints:
        if checkpoints.latest_step is None:
            progress = Progress()
            state = jax.jit(init, out_shardings=shardings, compiler_options=_compile_quickly())(params_key)
        else:
            saved = checkpoints.describe(checkpoints.latest_step)
            check_same_run(saved, run, workdir)
            progress = Progress(**saved["progress"])
            state = checkpoints.restore_state(progress.step, lambda: init(params_key), shardings)
            logger.info("%s: going on from step %d", workdir, progress.step)

        resumed_step = checkpoints.latest_step
        with (
            closing(open_metrics(workdir, first_step=-1 if resumed_step is None else resumed_step)) as log,
            closing(prefetch(batches, first_step=progress.step)) as stream,
            progress_view(num_steps, first_step=progress.step) as view,
        ):
            # 4. The loss before anything is learnt, to measure the gain against.
            if validation is not None and resumed_step is None:
                values = validate(state.params)
                log.write(0, "validation", values)
                view.tell(0, f"validation loss {values['loss']:.4f}")
                progress = progress._replace(initial_loss=values["loss"])

            # 5. The loop. Steps are dispatched without waiting for their results, except where something is due.
            step, stopping = progress.step, False
            clock = _Clock(step)
            while step < num_steps and not progress.exhausted(config.patience) and not stopping:
                state, metrics = train_step(state, place(next(stream), mesh, batch_size))
                step += 1
                view.advance(step)

                stopping = should_stop()
                is_last = step == num_steps
                log_due = step % config.log_every == 0 or step == 1 or is_last
                evaluation_due = step % evaluate_every == 0 or is_last
                save_due = step % config.checkpoint_every == 0 if config.checkpoint_every else evaluation_due
                if not (log_due or evaluation_due or save_due or stopping):
                    continue
                for name, value in (("loss", metrics.loss), ("norm of the gradient", metrics.grad_norm)):
                    _check_finite(name, float(value), step, config, checkpoints.latest_step)

                if log_due:
                    values = {
                        **means(metrics.totals, field_names),
                        "grad_norm": float(metrics.grad_norm),
                        "learning_rate": float(np.asarray(learning_rate(step - 1))),
                        **clock.rates(step, rows_per_step=batch_size * sequence_length),
                    }
                    log.write(step, "train", values)
                    view.tell(
                        step, "loss {loss:.4f}, {steps_per_s:.1f} steps/s, {rows_per_s:,.0f} rows/s".format(**values)
                    )

                validation_loss = None
                if evaluation_due and validation is not None:
                    values = validate(state.params)
                    validation_loss = values["loss"]
                    _check_finite("validation loss", validation_loss, step, config, checkpoints.latest_step)
                    log.write(step, "validation", values)
                    progress = progress.evaluated(step, validation_loss)
                    view.tell(step, f"validation loss {validation_loss:.4f} (best {progress.best_loss:.4f})")

                progress = progress._replace(step=step, finished=is_last or progress.exhausted(config.patience))
                if save_due or stopping or progress.finished or progress.best_step == step:
                    checkpoints.save(state, {**run, "progress": progress._asdict()}, validation_loss=validation_loss)
                clock.restart(step)  # so that the rates are those of training alone
    return Result(
        step=progress.step,
        finished=progress.step >= num_steps or progress.exhausted(config.patience),
        initial_loss=progress.initial_loss,
        last_loss=progress.last_loss,
        best_step=progress.best_step,
        best_loss=progress.best_loss,
    )


def _compile_quickly() -> dict[str, Any] | None:
    """Returns options for a function that runs once: XLA:CPU compiles it in half the time (2 x 512: 3.5 s, not 6.8)."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None


def _check_finite(name: str, value: float, step: int, config: TrainConfig, saved_step: int | None) -> None:
    if not math.isfinite(value):
        latest = (
            "there is no checkpoint yet" if saved_step is None else f"the latest checkpoint is of step {saved_step}"
        )
        raise NonFiniteLossError(
            f"step {step}: the {name} is {value}, since at most {config.log_every} steps; {latest}; "
            f"try a lower learning rate than {config.optimizer.learning_rate:g}"
        )


class _Clock:
    """Measures the speed since it was last restarted."""

    def __init__(self, step: int) -> None:
        self.restart(step)

    def restart(self, step: int) -> None:
        self._step = step
        self._begin_s = time.perf_counter()

    def rates(self, step: int, *, rows_per_step: int) -> dict[str, float]:
        steps_per_s = (step - self._step) / max(1e-9, time.perf_counter() - self._begin_s)
        return {"steps_per_s": steps_per_s, "rows_per_s": steps_per_s * rows_per_step}
