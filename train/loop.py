"""`ostinato train --dataset DATASET --workdir RUN PRESET`: a training run, from top to bottom."""

import dataclasses
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from ostinato.configs.errors import UserError
from ostinato.configs.schema import TrainConfig
from ostinato.data.records import Dataset, TFRecordSource
from ostinato.model.network import MusicModel
from ostinato.train.checkpoint import Checkpoints, go_back, make_model
from ostinato.train.data import Batch, TrainingBatches, evaluation_batches, prefetch, training_batches
from ostinato.train.hosts.peers import done_by_the_first
from ostinato.train.hosts.watchdog import Watchdog
from ostinato.train.lock import RunLock
from ostinato.train.memory import keep_freed_memory
from ostinato.train.metrics import open_metrics, progress_view
from ostinato.train.profiling import Profile
from ostinato.train.run_metadata import Progress, check_same_run, describe_run
from ostinato.train.schedule import learning_rate_schedule, make_optimizer
from ostinato.train.stability import LossWatch, UnstableError
from ostinato.train.step import (
    EvalStep,
    StepMetrics,
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
from ostinato.train.transfer import batches_with_old, describe_origin, load_origin

logger = logging.getLogger(__name__)

STEPS_AHEAD = 2
"""Steps that are dispatched before the results of an earlier one are looked at."""


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
    config: TrainConfig,
    dataset: Dataset,
    workdir: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    from_step: int | None = None,
    profile: range = range(0),
    init_from: Path | None = None,
    old_dataset: Dataset | None = None,
) -> Result:
    """Trains a model, or goes on with the run in `workdir` from its latest checkpoint, to the same bits.

    A step whose loss or gradient is not a number is skipped. An unstable run goes back to its latest checkpoint with a
    lower learning rate, as often as the configuration allows. With several processes each of them calls this; one that
    is lost ends all others within `peer_timeout_s` with exit code 76.

    Args:
        config: all settings of the run.
        dataset: needs a split "train"; without "validation" there is no early stopping, and the latest is the best.
        workdir: checkpoints/, metrics.jsonl, events.jsonl and tensorboard/ appear here.
        should_stop: asked after each step; if True a checkpoint is written and the run ends, to be resumed later. It
            has to say the same on every host.
        from_step: go on from this checkpoint; later ones are set aside.
        profile: steps, counted from 1, whose trace is written to `workdir`/profile.
        init_from: a new run begins with the parameters of the best checkpoint of this one.
        old_dataset: where `config.data.old_share` of each batch comes from.

    Raises:
        UserError: the settings do not fit the data, the devices, or the run that is in `workdir`; another process
            works there; a checkpoint is damaged or cannot be written.
        NonFiniteLossError: the run stayed unstable. No checkpoint holds such parameters.
    """
    keep_freed_memory()
    with ExitStack() as stack:
        # 1. The folder, in which one run works at a time.
        watchdog = stack.enter_context(Watchdog(timeout_s=config.peer_timeout_s))
        done_by_the_first(lambda: _take(workdir, stack, from_step))
        checkpoints = stack.enter_context(Checkpoints(workdir, keep=config.keep_checkpoints))

        # 2. What the run is, and whether it fits the one that is there.
        run, progress = describe_run(config, dataset, old_dataset), Progress()
        if checkpoints.latest_step is not None:
            saved = checkpoints.describe(checkpoints.latest_step)
            changes = check_same_run(saved, run, workdir)
            progress = Progress(**saved["progress"])
            run["history"] = [*saved.get("history", []), *_resumed(progress.step, changes, from_step)]
            run["rows_at_once"] = saved.get("rows_at_once")
            run["init_from"] = saved.get("init_from")
            if "accumulate" in changes:  # the user has a new opinion
                run["rows_at_once"] = None
            logger.info("%s: going on from step %d", workdir, progress.step)
            for name, (before, now) in changes.items():
                logger.info("%s: %s is %s, was %s", workdir, name, now, before)
        origin = None
        if init_from is not None and checkpoints.latest_step is None:
            origin = load_origin(init_from, config, dataset.codec)
            run["init_from"] = describe_origin(origin, init_from)
        setup = _set_up(config, dataset, run, None if origin is None else origin.params, old_dataset)

        # 3. The run; once more from the latest checkpoint when it has become unstable.
        while True:
            try:
                progress = _go_on(setup, workdir, checkpoints, run, progress, watchdog, should_stop, profile)
                break
            except UnstableError as trouble:
                progress = _rolled_back(trouble, config, workdir, checkpoints, run, progress)
        watchdog.doing("checkpoint", "the checkpoint to be written")
    return Result(
        step=progress.step,
        finished=progress.step >= setup.num_steps or progress.exhausted(config.patience),
        initial_loss=progress.initial_loss,
        last_loss=progress.last_loss,
        best_step=progress.best_step,
        best_loss=progress.best_loss,
    )


class _Setup(NamedTuple):
    """What does not change when a run goes back to a checkpoint."""

    config: TrainConfig
    num_steps: int
    evaluate_every: int
    accumulate: int
    field_names: tuple[str, ...]
    notes_per_row: float
    mesh: Mesh
    rows: slice
    """The rows of each batch that this host reads."""
    source: TFRecordSource
    batches: TrainingBatches
    validation: TFRecordSource | None
    model: MusicModel
    eval_step: EvalStep
    first_params: Any
    """What a new run begins with; None to draw them from the seed."""

    def validate(self, params: Any, step: int, watchdog: Watchdog) -> dict[str, float]:
        """Returns the means over the validation split."""
        assert self.validation is not None
        data = self.config.data
        watchdog.doing("compiling", "the first batch of the validation")
        parts = _announced(
            evaluation_batches(self.validation, data.batch_size, data.sequence_length, rows=self.rows), step, watchdog
        )
        totals = evaluate(self.eval_step, params, self.model, parts, mesh=self.mesh, batch_size=data.batch_size)
        return means(totals, self.field_names)

    def pieces_of(self, k: int) -> list[str]:
        """Returns the ids of the pieces in batch k."""
        return [self.source[number].id for number in self.batches.pieces(k) if number < len(self.source)]


def _set_up(
    config: TrainConfig, dataset: Dataset, run: dict[str, Any], first_params: Any, old_dataset: Dataset | None
) -> _Setup:
    """Chooses devices and data. Nothing is computed or allocated yet; each host will read its own rows of a batch."""
    batch_size = config.data.batch_size
    accumulate = _parts(batch_size, config.accumulate, run.get("rows_at_once"))
    mesh = make_mesh(batch_size // accumulate)
    if run.get("rows_at_once") is None:
        run["rows_at_once"] = batch_size // (accumulate * mesh.size)
    elif accumulate != config.accumulate:
        logger.info("fewer devices than before: each batch is computed in %d parts, one after the other", accumulate)
    rows = rows_of_this_host(mesh, batch_size)
    source = dataset.source("train")
    if (old_dataset is None) != (config.data.old_share == 0):
        raise UserError(
            "--old-dataset and --data.old-share belong together: the one says where from, the other how much"
        )
    if old_dataset is None:
        batches = training_batches(source, config.data, seed=config.seed, rows=rows)
    else:
        old = old_dataset.source("train")
        batches = batches_with_old(source, old, config.data, seed=config.seed, rows=rows)
    model = make_model(config.model, dataset.codec)
    return _Setup(
        config=config,
        num_steps=config.num_steps or config.num_epochs * batches.steps_per_epoch,
        evaluate_every=config.evaluate_every or batches.steps_per_epoch,
        accumulate=accumulate,
        field_names=tuple(field.name for field in dataset.codec.fields),
        notes_per_row=source.num_notes / max(1, int(source.lengths.sum())),
        mesh=mesh,
        rows=rows,
        source=source,
        batches=batches,
        validation=dataset.source("validation") if "validation" in dataset.splits else None,
        model=model,
        eval_step=make_eval_step(model, mesh),
        first_params=first_params,
    )


def _go_on(
    setup: _Setup,
    workdir: Path,
    checkpoints: Checkpoints,
    run: dict[str, Any],
    progress: Progress,
    watchdog: Watchdog,
    should_stop: Callable[[], bool],
    profile: range,
) -> Progress:
    """Trains from the latest checkpoint, or from the seed, to the end of the run or until it shall stop.

    Raises:
        UnstableError: too many steps in a row were skipped, or parameters or validation loss are no longer numbers.
    """
    config, num_steps = setup.config, setup.num_steps
    batch_size = config.data.batch_size

    # 1. Functions. The learning rate is part of the compiled step.
    params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    optimizer_config = dataclasses.replace(
        config.optimizer, learning_rate=config.optimizer.learning_rate * progress.learning_rate_factor
    )
    optimizer = make_optimizer(optimizer_config, num_steps)
    learning_rate = jax.jit(learning_rate_schedule(optimizer_config, num_steps))
    init = make_state_init(setup.model, optimizer, batch_size)
    shardings = state_shardings(setup.mesh)
    train_step = make_train_step(
        setup.model, optimizer, setup.mesh, dropout_key, accumulate=setup.accumulate, head_steps=config.head_steps
    )
    norm = jax.jit(optax.tree.norm)

    # 2. The state: from the latest checkpoint, or from the seed. Parameters are born where they live.
    resumed_step = checkpoints.latest_step
    if resumed_step is None:
        state = jax.jit(init, out_shardings=shardings, compiler_options=_compile_quickly())(params_key)
        if setup.first_params is not None:
            state = state._replace(params=jax.device_put(jax.device_get(setup.first_params), shardings.params))
    else:
        state = checkpoints.restore_state(resumed_step, lambda: init(params_key), shardings)
    step = progress.step
    assert step == (resumed_step or 0), (step, resumed_step)

    with (
        closing(open_metrics(workdir, first_step=-1 if resumed_step is None else resumed_step)) as log,
        closing(prefetch(setup.batches, first_step=step)) as stream,
        closing(Profile(workdir, profile)) as trace,
        progress_view(num_steps, first_step=step) as view,
    ):
        log.event(step, "began" if resumed_step is None else "went on", **_last(run["history"]))

        # 3. The loss before anything is learnt, to measure the gain against.
        if setup.validation is not None and progress.step == 0:  # an imported run has a checkpoint of step 0
            values = setup.validate(state.params, step, watchdog)
            log.write(0, "validation", values)
            view.tell(0, f"validation loss {values['loss']:.4f}")
            progress = progress._replace(initial_loss=values["loss"])

        # 4. The loop. Steps are dispatched without waiting for their results, but for those of a few steps ago.
        first_step, stopping = step, False
        losses = LossWatch(skip_limit=config.skip_limit, pieces_of=setup.pieces_of)
        pending: deque[tuple[int, StepMetrics]] = deque()
        clock = _Clock(step)
        while step < num_steps and not progress.exhausted(config.patience) and not stopping:
            watchdog.doing("input", f"batch {step} of the training data")
            begin_s = time.perf_counter()
            batch = next(stream)
            clock.input_wait_s += time.perf_counter() - begin_s
            trace.begin(step + 1)
            watchdog.doing("compiling" if step == first_step else "devices", f"the devices at step {step + 1}")
            state, metrics = train_step(state, place(batch, setup.mesh, batch_size))
            step += 1
            pending.append((step, metrics))
            view.advance(step)

            stopping = should_stop()
            is_last = step == num_steps
            log_due = step % config.log_every == 0 or step == 1 or is_last
            evaluation_due = step % setup.evaluate_every == 0 or is_last
            save_due = step % config.checkpoint_every == 0 if config.checkpoint_every else evaluation_due
            trace_due = trace.ends_with(step)
            due = log_due or evaluation_due or save_due or stopping or trace_due

            # Results are looked at in order, so that each host, and each repetition, decides the same.
            while len(pending) > (0 if due else STEPS_AHEAD):
                number, seen = pending.popleft()
                loss, grad_norm = map(float, jax.device_get((seen.loss, seen.grad_norm)))
                progress, said = losses.look(progress, number, loss=loss, grad_norm=grad_norm)
                watchdog.stepped()
                if said:
                    _warn(said)
                    log.event(number, "unusual loss", said=said)
            if trace_due:
                trace.close()
            if not due:
                continue
            param_norm = float(norm(state.params))
            if not math.isfinite(param_norm):
                raise UnstableError(f"step {step}: the norm of the parameters is {param_norm}")

            if log_due:
                values = {
                    **means(metrics.totals, setup.field_names),
                    "grad_norm": float(metrics.grad_norm),
                    "param_norm": param_norm,
                    "learning_rate": float(np.asarray(learning_rate(max(0, step - progress.skipped - 1)))),
                    "skipped": progress.skipped,
                    **clock.rates(step, config, setup.notes_per_row),
                    **_device_memory(),
                }
                log.write(step, "train", values)
                view.tell(
                    step, "loss {loss:.4f}, {steps_per_s:.1f} steps/s, {notes_per_s:,.0f} notes/s".format(**values)
                )

            validation_loss = None
            if evaluation_due and setup.validation is not None:
                values = setup.validate(state.params, step, watchdog)
                validation_loss = values["loss"]
                if not math.isfinite(validation_loss):
                    raise UnstableError(f"step {step}: the validation loss is {validation_loss}")
                log.write(step, "validation", values)
                progress = progress.evaluated(step, validation_loss)
                view.tell(step, f"validation loss {validation_loss:.4f} (best {progress.best_loss:.4f})")

            progress = progress._replace(step=step, finished=is_last or progress.exhausted(config.patience))
            wanted = save_due or stopping or progress.finished or progress.best_step == step
            # After a skipped step it is not known yet whether the parameters are any good, unless they were measured.
            sound = progress.skipped_in_row == 0 or validation_loss is not None or is_last
            if wanted and sound:
                watchdog.doing("checkpoint", f"the checkpoint of step {step}")
                checkpoints.save(state, {**run, "progress": progress._asdict()}, validation_loss=validation_loss)
            watchdog.doing("input", f"batch {step} of the training data")
            clock.restart(step)  # so that the rates are those of training alone
        log.event(step, "finished" if progress.finished else "stopped" if stopping else "ended")
    return progress


def _compile_quickly() -> dict[str, Any] | None:
    """Returns options for a function that runs once: XLA:CPU compiles it in half the time (2 x 512: 3.5 s, not 6.8)."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None


def _take(workdir: Path, stack: ExitStack, from_step: int | None) -> None:
    """Makes and locks the folder of the run, until the stack is left, and goes back if that is wished."""
    workdir.mkdir(parents=True, exist_ok=True)
    stack.enter_context(closing(RunLock(workdir)))
    if from_step is not None:
        for path in go_back(workdir, from_step):
            logger.info("%s: set aside", path)


def _rolled_back(
    trouble: UnstableError,
    config: TrainConfig,
    workdir: Path,
    checkpoints: Checkpoints,
    run: dict[str, Any],
    progress: Progress,
) -> Progress:
    """Returns the progress of the latest checkpoint, with a lower learning rate from here on.

    Raises:
        NonFiniteLossError: the run has gone back often enough.
    """
    checkpoints.wait()  # for the one that may be on its way
    step = checkpoints.latest_step
    where = "there is no checkpoint yet" if step is None else f"the latest checkpoint is of step {step}"
    if progress.rollbacks >= config.rollbacks:
        raise NonFiniteLossError(
            f"{trouble}; {where}; the run has gone back {progress.rollbacks} times; "
            f"try a lower learning rate than {config.optimizer.learning_rate:g}"
        ) from trouble
    factor = progress.learning_rate_factor * config.rollback_factor
    number = progress.rollbacks + 1
    progress = Progress() if step is None else Progress(**checkpoints.describe(step)["progress"])
    progress = progress._replace(rollbacks=number, learning_rate_factor=factor)
    run["history"] = [
        *run["history"],
        {"step": progress.step, "event": "went back", "reason": str(trouble), "learning_rate_factor": factor},
    ]
    _warn(
        f"{workdir}: {trouble}; back to step {progress.step} with {factor:g} of the learning rate "
        f"({number} of {config.rollbacks} times)"
    )
    return progress


def _warn(line: str) -> None:
    """Logs what all hosts see, once."""
    if jax.process_index() == 0:
        logger.warning("%s", line)


def _resumed(step: int, changes: dict[str, list[Any]], from_step: int | None) -> list[dict[str, Any]]:
    """Returns what the history of a run shall say about its going on: nothing, where nothing is different."""
    if not changes and from_step is None:
        return []
    by_hand = {} if from_step is None else {"by_hand": True}
    return [{"step": step, "event": "resumed", **by_hand, "changes": changes}]


def _last(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the newest entry as values of an event."""
    return {"history": history[-1]} if history else {}


def _parts(batch_size: int, accumulate: int, rows_at_once: int | None) -> int:
    """Returns in how many parts a batch is computed, so that no device holds more rows at once than it used to.

    On CPUs the memory is that of the host, however many devices it is divided into; there the parts stay.
    """
    if rows_at_once is None or jax.default_backend() == "cpu":
        return accumulate
    return parts_for(batch_size, accumulate, rows_at_once, num_devices=jax.device_count())


def parts_for(batch_size: int, accumulate: int, rows_at_once: int, *, num_devices: int) -> int:
    """Returns the smallest number of parts, at least `accumulate`, with at most `rows_at_once` rows on a device."""
    for parts in range(accumulate, batch_size + 1):
        if batch_size % parts == 0:
            in_part = batch_size // parts
            used = max(n for n in range(1, num_devices + 1) if in_part % n == 0)
            if in_part // used <= rows_at_once:
                return parts
    raise AssertionError("a row at a time is always possible")


def _announced(parts: Iterator[Batch], step: int, watchdog: Watchdog) -> Iterator[Batch]:
    """Yields the batches of a validation and tells the watchdog about each."""
    for number, part in enumerate(parts):
        if number:
            watchdog.doing("devices", f"the devices in the validation after step {step}")
        yield part
        if number:
            watchdog.doing("input", f"batch {number + 1} of the validation data")


def _device_memory() -> dict[str, float]:
    """Returns the most that a device of this host has held so far, where devices have a memory of their own."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [stat["peak_bytes_in_use"] for stat in stats if stat and "peak_bytes_in_use" in stat]
    return {"device_memory_mb": max(peaks) / 1e6} if peaks else {}


class _Clock:
    """Measures the speed since it was last restarted."""

    def __init__(self, step: int) -> None:
        self.input_wait_s = 0.0
        self.restart(step)

    def restart(self, step: int) -> None:
        self._step = step
        self._begin_s = time.perf_counter()
        self.input_wait_s = 0.0

    def rates(self, step: int, config: TrainConfig, notes_per_row: float) -> dict[str, float]:
        """Returns steps, rows and notes a second, and the seconds of each step in which the data was waited for."""
        steps = step - self._step
        steps_per_s = steps / max(1e-9, time.perf_counter() - self._begin_s)
        rows_per_s = steps_per_s * config.data.batch_size * config.data.sequence_length
        return {
            "steps_per_s": steps_per_s,
            "rows_per_s": rows_per_s,
            "notes_per_s": rows_per_s * notes_per_row,
            "input_wait_s": self.input_wait_s / max(1, steps),
        }
