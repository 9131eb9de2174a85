"""`ostinato train --dataset DATASET --workdir RUN PRESET`: a training run, from top to bottom."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from ostinato.configs.errors import UserError
from ostinato.configs.schema import TrainConfig
from ostinato.data.atomic import make_folder
from ostinato.data.mixture import Mixture, mixture_of
from ostinato.data.records import Dataset
from ostinato.train.adversary import make_adversary, told_by_adversary
from ostinato.train.checkpoint import Checkpoints, make_model
from ostinato.train.data import prefetch
from ostinato.train.devices import divide_batch
from ostinato.train.hosts.process_zero import run_on_process_zero
from ostinato.train.hosts.watchdog import Watchdog
from ostinato.train.kernel_choice import as_kernel, choose_kernel
from ostinato.train.lock import run_lock
from ostinato.train.memory import keep_freed_memory
from ostinato.train.metrics import ProgressView
from ostinato.train.mixed_batches import mixed_batches, piece_id
from ostinato.train.profiling import Profile
from ostinato.train.recovery import go_back, set_aside
from ostinato.train.rollback import roll_back
from ostinato.train.run_metadata import Progress, as_then, describe_run, resumed_run
from ostinato.train.schedule import learning_rate_schedule, make_optimizer
from ostinato.train.stability import LossWatch, UnstableError
from ostinato.train.step import (
    StepMetrics,
    make_state_init,
    make_train_step,
    means,
    place,
    rows_of_this_host,
    state_shardings,
)
from ostinato.train.throughput import Throughput, TimeLeft, device_memory, notes_per_row
from ostinato.train.trackers import TrackerName, open_trackers
from ostinato.train.transfer import describe_origin, load_origin
from ostinato.train.validation import open_validation

STEPS_AHEAD = 2
"""Steps that are dispatched before the results of an earlier one are looked at."""


class Result(NamedTuple):
    """How a run ended. Losses are validation losses in nats per step, None without a validation split."""

    step: int
    num_steps: int
    """That were asked for. A finished run with fewer was stopped early."""
    finished: bool
    """False if `should_stop` ended it: another call resumes it."""
    initial_loss: float | None
    last_loss: float | None
    best_step: int | None
    best_loss: float | None


def train(
    config: TrainConfig,
    dataset: Dataset | Mixture,
    workdir: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    from_step: int | None = None,
    accept_dataset: bool = False,
    profile: range = range(0),
    init_from: Path | None = None,
    old_dataset: Dataset | None = None,
    track: Sequence[TrackerName] = (),
    cache: Path | None = None,
) -> Result:
    """Trains a model, or resumes the run in `workdir` from its latest checkpoint that is whole, to the same bits.

    A step whose loss or gradient is not a number is skipped. An unstable run is rolled back to its latest checkpoint
    with a lower learning rate, as often as the configuration allows. With several processes each of them calls this;
    one that is lost ends all others within `peer_timeout_s` with exit code 76.

    Args:
        config: all settings of the run.
        dataset: needs a split "train"; without "validation" there is no early stopping, and the latest is the best.
            Of a mixture an epoch is one of its first dataset.
        workdir: checkpoints/, metrics.jsonl, events.jsonl and tensorboard/ appear here.
        should_stop: asked after each step; if True a checkpoint is written and the run ends, to be resumed later. It
            has to say the same on every host.
        from_step: resume from this checkpoint; later ones are set aside.
        accept_dataset: resume a run on a dataset that was made from its own. Batch k is then that of the new one; the
            first rows of the next batch find the memory of other pieces.
        profile: steps, counted from 1, whose trace is written to `workdir`/profile.
        init_from: a new run begins with the parameters of the best checkpoint of this one.
        old_dataset: where `config.data.old_share` of each batch comes from.
        track: trackers that hear the numbers beside metrics.jsonl and TensorBoard.
        cache: a folder in which it is remembered what was measured when runs began.

    Raises:
        UserError: the settings do not fit the data, the devices, or the run that is in `workdir`; another process
            works there; no checkpoint is whole, or one cannot be written.
        NonFiniteLossError: the run stayed unstable. No checkpoint holds such parameters.
    """
    mixture = mixture_of(dataset, old=old_dataset, old_share=config.data.old_share)
    codec, shares = mixture.codec, mixture.rows(config.data.batch_size)
    if not codec.can_align:  # its rows are not notes with a time, so there is nothing to copy from
        no_gate = dataclasses.replace(config.model, copy=False, metrical_inputs=False)
        config = dataclasses.replace(config, model=no_gate, data=dataclasses.replace(config.data, misheard=0.0))
    keep_freed_memory()
    with ExitStack() as stack:
        # --- 1. The folder, in which one run works at a time. ---
        def open_folder() -> None:
            make_folder(workdir)
            stack.enter_context(watchdog.guarding(stack.enter_context(run_lock(workdir))))
            if from_step is None:
                go_back(workdir)
            else:
                set_aside(workdir, after=from_step)

        watchdog = stack.enter_context(Watchdog(timeout_s=config.peer_timeout_s))
        run_on_process_zero(open_folder)
        checkpoints = stack.enter_context(Checkpoints(workdir, keep=config.keep_checkpoints))

        # --- 2. The run: a new one, or that of the latest checkpoint, if it is the same. ---
        saved = None if checkpoints.latest_step is None else checkpoints.describe(checkpoints.latest_step)
        if saved is not None:
            config = as_then(config, saved["config"])
        run, progress, first_params = describe_run(config, mixture), Progress(), None
        if saved is not None:
            run = resumed_run(saved, run, workdir, by_hand=from_step is not None, accept_dataset=accept_dataset)
            progress = Progress(**saved["progress"])
        elif init_from is not None:
            origin = load_origin(init_from, config, codec)
            run["init_from"], first_params = describe_origin(origin, init_from), origin.params
        elif config.adversary.weight:
            raise UserError(
                f"{workdir}: adversary.weight {config.adversary.weight:g} is for a network that is trained already; "
                "add --init-from RUN, or set --adversary.weight 0"
            )

        # --- 3. The devices; each host reads only its rows of a batch. ---
        batch_size = config.data.batch_size
        mesh, accumulate = divide_batch(batch_size, config.accumulate, run["rows_at_once"])
        rows_at_once = batch_size // (accumulate * mesh.size)
        run["rows_at_once"] = run["rows_at_once"] or rows_at_once
        rows, shardings = rows_of_this_host(mesh, batch_size), state_shardings(mesh)

        # --- 4. The data. Batch k is a function of (dataset, seed, k). ---
        sources = [part.dataset.source("train") for part in mixture.parts]
        told = {"copy": config.model.copy, "tell_keys": config.model.key_condition}
        batches = mixed_batches(mixture, sources, config.data, seed=config.seed, rows=rows, **told)
        pieces_of = lambda k: [piece_id(sources, number) for number in batches.pieces(k)]  # noqa: E731
        num_steps = config.num_steps or config.num_epochs * batches.steps_per_epoch
        evaluate_every = config.evaluate_every or batches.steps_per_epoch

        # --- 5. The network, and its measurement. ---
        run["kernel"] = choose_kernel(config, rows_at_once, saved, cache)
        model = make_model(config.model, codec, as_kernel(run["kernel"]))
        params_key, dropout_key = jax.random.split(jax.random.key(config.seed))
        validate = open_validation(mixture, config.data, model, mesh, watchdog)
        adversary, norm = make_adversary(config, model, codec.eos), jax.jit(optax.tree.norm)
        patience = 0 if adversary else config.patience  # less likelihood is what it costs

        # --- 6. What people see. ---
        field_names = tuple(field.name for field in codec.fields)
        throughput = Throughput(config.data, notes_per_row(sources, shares))
        time_left = TimeLeft(num_steps, evaluate_every, validates=validate is not None)
        trace = stack.enter_context(closing(Profile(workdir, profile)))
        view = stack.enter_context(closing(ProgressView(num_steps, first_step=progress.step)))

        while True:  # from here on once more each time that the run was rolled back
            # --- 7. The optimizer and the step. The learning rate is compiled into it. ---
            factor = progress.learning_rate_factor
            optimizer_config = dataclasses.replace(
                config.optimizer, learning_rate=factor * config.optimizer.learning_rate
            )
            optimizer = make_optimizer(optimizer_config, num_steps, only=(run["init_from"] or {}).get("added", ()))
            learning_rate = jax.jit(learning_rate_schedule(optimizer_config, num_steps))
            if adversary is not None:
                optimizer = adversary.with_judge(optimizer, params_key)
            parts = {"accumulate": accumulate, "head_steps": config.head_steps}
            train_step = make_train_step(model, optimizer, mesh, dropout_key, **parts, adversary=adversary)

            # --- 8. The state: from the latest checkpoint, or from the seed. Parameters are born where they live. ---
            init = make_state_init(model, optimizer, batch_size)
            resumed_step = checkpoints.latest_step
            if resumed_step is not None:
                state = checkpoints.restore_state(resumed_step, lambda init=init: init(params_key), shardings)
            else:
                # It runs once: XLA:CPU compiles it in half the time this way (2 x 512: 3.5 s, not 6.8).
                options: Any = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
                state = jax.jit(init, out_shardings=shardings, compiler_options=options)(params_key)
                if first_params is not None:
                    state = state._replace(params=jax.device_put(jax.device_get(first_params), shardings.params))
            step = first_step = progress.step
            assert step == (resumed_step or 0), (step, resumed_step)

            # --- 9. The log, and the batches from this step on. ---
            opened = stack.enter_context(ExitStack())
            log_from = -1 if resumed_step is None else resumed_step
            settings = {**run["config"], "dataset": run.get("mixture", run["dataset"])}
            tracker = opened.enter_context(
                closing(open_trackers(workdir, first_step=log_from, names=track, settings=settings))
            )
            stream = opened.enter_context(closing(prefetch(batches, first_step=step)))
            latest_change = {"history": run["history"][-1]} if run["history"] else {}
            tracker.event(step, "began" if resumed_step is None else "resumed", **latest_change)

            # --- 10. The loss before anything is learnt, to measure the gain against. ---
            if validate and step == 0:  # an imported run has a checkpoint of step 0
                with time_left.validating():
                    values = validate(state.params, step)
                tracker.write(0, "validation", values)
                view.tell(0, f"validation loss {values['loss']:.4f}")
                progress = progress._replace(initial_loss=values["loss"])

            # --- 11. The loop. Steps are dispatched without waiting for any results but those of a few steps ago. ---
            losses = LossWatch(skip_limit=config.skip_limit, pieces_of=pieces_of)
            pending: deque[tuple[int, StepMetrics]] = deque()
            stopping = False
            throughput.restart(step)
            try:
                while step < num_steps and not progress.exhausted(patience) and not stopping:
                    # The batch.
                    watchdog.set_activity("input", f"batch {step} of the training data")
                    with throughput.waiting_for_input():
                        batch = next(stream)
                    trace.begin(step + 1)

                    # The step.
                    watchdog.set_activity(
                        "compiling" if step == first_step else "devices", f"the devices at step {step + 1}"
                    )
                    state, metrics = train_step(state, place(batch, mesh, batch_size))
                    step += 1
                    pending.append((step, metrics))
                    view.advance(step)

                    # What is to be done after it.
                    stopping, is_last = should_stop(), step == num_steps
                    log_due = step % config.log_every == 0 or step == 1 or is_last
                    evaluation_due = step % evaluate_every == 0 or is_last
                    save_due = step % config.checkpoint_every == 0 if config.checkpoint_every else evaluation_due
                    trace_due = trace.ends_with(step)
                    any_due = log_due or evaluation_due or save_due or trace_due or stopping

                    # Results, in the order of the steps, so that each host, and each repetition, decides the same.
                    while len(pending) > (0 if any_due else STEPS_AHEAD):
                        number, seen = pending.popleft()
                        loss, grad_norm = map(float, jax.device_get((seen.loss, seen.grad_norm)))
                        progress, warning = losses.look(progress, number, loss=loss, grad_norm=grad_norm)
                        watchdog.step_done()
                        if warning:
                            view.warn(warning)
                            tracker.event(number, "unusual loss", said=warning)
                    if trace_due:
                        trace.close()
                    if not any_due:
                        continue
                    param_norm = float(norm(state.params))
                    if not math.isfinite(param_norm):
                        raise UnstableError(f"step {step}: the norm of the parameters is {param_norm}")

                    # A line of the log.
                    if log_due:
                        values = {
                            **means(metrics.totals, field_names),
                            **told_by_adversary(metrics.told),
                            "grad_norm": float(metrics.grad_norm),
                            "param_norm": param_norm,
                            "learning_rate": float(np.asarray(learning_rate(max(0, step - progress.skipped - 1)))),
                            "skipped": progress.skipped,
                            **throughput.rates(step),
                            **device_memory(),
                        }
                        tracker.write(step, "train", values)
                        text = "loss {loss:.4f}, {steps_per_s:.1f} steps/s, {notes_per_s:,.0f} notes/s"
                        time_left.steps_took(1 / values["steps_per_s"])
                        view.tell(step, text.format(**values), left=time_left.text(step))

                    # The validation.
                    validation_loss = None
                    if validate and evaluation_due:
                        with time_left.validating():
                            values = validate(state.params, step)
                        validation_loss = values["loss"]
                        if not math.isfinite(validation_loss):
                            raise UnstableError(f"step {step}: the validation loss is {validation_loss}")
                        tracker.write(step, "validation", values)
                        progress = progress.evaluated(step, validation_loss, is_best=adversary is not None)
                        view.tell(step, f"validation loss {validation_loss:.4f} (best {progress.best_loss:.4f})")

                    # The checkpoint. After a skipped step it is not known yet whether the parameters are any good,
                    # unless they were measured.
                    progress = progress._replace(step=step, finished=is_last or progress.exhausted(patience))
                    wanted = save_due or stopping or progress.finished or progress.best_step == step
                    if wanted and (progress.skipped_in_row == 0 or validation_loss is not None or is_last):
                        watchdog.set_activity("checkpoint", f"the checkpoint of step {step}")
                        run_now = {**run, "progress": progress._asdict()}
                        checkpoints.save(state, run_now, validation_loss=None if adversary else validation_loss)
                    watchdog.set_activity("input", f"batch {step} of the training data")
                    throughput.restart(step)  # so that the rates are those of training alone
                break
            except UnstableError as trouble:
                opened.close()
                progress = roll_back(trouble, config, workdir, checkpoints, run, progress)

        # --- 12. The end: the checkpoint may still be on its way. ---
        tracker.event(step, "finished" if progress.finished else "stopped" if stopping else "ended")
        watchdog.set_activity("checkpoint", "the checkpoint to be written")
    return Result(
        step=progress.step,
        num_steps=num_steps,
        finished=progress.step >= num_steps or progress.exhausted(patience),
        initial_loss=progress.initial_loss,
        last_loss=progress.last_loss,
        best_step=progress.best_step,
        best_loss=progress.best_loss,
    )
