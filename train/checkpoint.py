"""Checkpoints of a run: with `recovery` the only module that knows Orbax.

Each checkpoint `workdir/checkpoints/<step>` appears whole or not at all, when it is on disk (`commit`). It holds the
items `params`, `opt`, `carry` and `run`, a JSON description: configuration, codec, dataset, versions, history,
progress, shape and dtype of each array, and the SHA-256 of each item and of itself, because Orbax restores a flipped
bit in silence.
"""

import math
import operator
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from ostinato.data import durable
from ostinato.model.network import init_params
from ostinato.music.codecs import codec_from_json
from ostinato.train.commit import DELETED, DurablePath
from ostinato.train.fingerprint import array_types, json_sha256, tree_sha256
from ostinato.train.folders import CHECKPOINTS, CheckpointError, DamagedError, is_model_folder
from ostinato.train.loaded_run import LoadedRun, make_model
from ostinato.train.model_folder import read_model
from ostinato.train.orbax_threads import silence_late_errors, silence_unawaited_coroutines
from ostinato.train.recovery import (
    ITEMS,
    LOSS,
    check_digest,
    list_steps,
    one_line,
    read_description,
    read_loss,
    reading,
    this_process_alone,
)
from ostinato.train.run_metadata import config_from_json, differences
from ostinato.train.step import Params, TrainState

T = TypeVar("T")

LOOK_S = 60.0
"""So long a reader tries to find a checkpoint that stays while it is read."""


class GoneError(CheckpointError):
    """There is no checkpoint of this step, or there is none any more."""


class UnlistedError(CheckpointError):
    """It cannot be said which checkpoints there are, or there is none."""


class Checkpoints:
    """The checkpoints of one run: the newest few and the best by validation loss are kept."""

    def __init__(self, workdir: Path, *, keep: int = 1, read_only: bool = False) -> None:
        """Opens the checkpoints of a run.

        Args:
            workdir: the folder of the run.
            keep: newest checkpoints that are kept beside the best one.
            read_only: for looking at a run that another process may be writing.

        Raises:
            CheckpointError: they cannot be read, or there is none to look at.
        """
        self.folder = Path(workdir).absolute() / CHECKPOINTS
        if read_only and not self.folder.is_dir():
            raise CheckpointError(
                f"{workdir}: no checkpoint here ({CHECKPOINTS}/ is missing); run 'ostinato train' first"
            )
        self._read_only = read_only
        silence_late_errors()
        loss, together = operator.itemgetter(LOSS), ocp.options.MultiprocessingOptions()
        options = ocp.CheckpointManagerOptions(
            # Without best_fn the manager does not write metrics, and after a restart the best checkpoint would go.
            best_fn=loss,
            best_mode="min",
            preservation_policy=AnyPreservationPolicy([LatestN(keep), BestN(get_metric_fn=loss, reverse=True, n=1)]),
            # A checkpoint that is half deleted when the process dies would still be listed: rename first.
            todelete_subdir=None if read_only else DELETED,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            temporary_path_class=DurablePath,
            # All processes of a job write together, but each may look by itself.
            multiprocessing_options=this_process_alone() if read_only else together,
        )
        for step in list_steps(workdir):
            read_loss(self.folder / str(step))  # the manager reads it of each, and would say what is wrong its own way
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options, item_names=(*ITEMS, "run"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnlistedError(f"{self.folder}: cannot be read ({one_line(error)})") from error
        if read_only and self.latest_step is None:
            self.close()
            raise UnlistedError(f"{workdir}: no finished checkpoint in {CHECKPOINTS}/; run 'ostinato train' first")

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    @property
    def best_step(self) -> int | None:
        """The checkpoint with the lowest validation loss; the latest one if no loss has been measured."""
        return self._manager.best_step()

    def save(self, state: TrainState, description: dict[str, Any], *, validation_loss: float | None) -> None:
        """Begins to write a checkpoint. The arrays are copied before it returns; the rest happens in a thread.

        Args:
            state: the state after `state.step` steps.
            description: what `run` holds, beside the arrays' shapes and digests.
            validation_loss: None if it was not measured at this step.

        Raises:
            CheckpointError: this one or that before it could not be written (a full disk, for instance).
        """
        step = int(state.step)
        items = _items(state)
        description = {
            **description,
            "step": step,
            "arrays": array_types(items),
            **{f"{name}_sha256": tree_sha256(item) for name, item in items.items()},
        }
        description["sha256"] = json_sha256(description)
        with self._writing():
            self._manager.wait_until_finished()
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardSave(item) for name, item in items.items()},
                    run=ocp.args.JsonSave(description),
                ),
                metrics={LOSS: math.inf if validation_loss is None else validation_loss},
            )

    def describe(self, step: int) -> dict[str, Any]:
        """Returns the description that was saved with a checkpoint.

        Raises:
            CheckpointError: it is damaged, or of a later format.
        """
        try:
            return read_description(self.folder / str(step))
        except DamagedError as error:
            raise self._with_others(step, error) from error

    def restore_state(self, step: int, init: Callable[[], TrainState], shardings: TrainState) -> TrainState:
        """Returns the state of a checkpoint, on whatever devices `shardings` names.

        Args:
            step: the step of the checkpoint.
            init: makes a state of the same shapes and dtypes; it is only traced.
            shardings: where each part shall live, as a prefix of the state's tree.

        Raises:
            CheckpointError: an array has another shape or dtype than init's, or its bytes are not those saved.
        """
        shapes = jax.eval_shape(init)
        parts = zip(shapes, shardings, strict=True)
        template = TrainState(*(jax.tree.map(lambda x, s=where: _struct(x, s), part) for part, where in parts))
        items = self._restore(step, _items(template))
        state_step = jax.device_put(np.asarray(step, shapes.step.dtype), shardings.step)
        return TrainState(state_step, items["params"], items["opt"], items["carry"])

    def restore_params(self, step: int, init: Callable[[], Params], sharding: Sharding) -> Params:
        """Returns only the parameters of a checkpoint, checked as in `restore_state`."""
        template = jax.tree.map(lambda x: _struct(x, sharding), jax.eval_shape(init))
        return self._restore(step, {"params": template})["params"]

    def load(self, step: int) -> LoadedRun:
        """Returns the model of a checkpoint, without its optimizer, on the first device.

        Raises:
            CheckpointError: there is no checkpoint of this step, or it is damaged.
        """
        if step not in self.steps:
            listed = ", ".join(map(str, self.steps))
            raise GoneError(f"{self.folder.parent}: there is no checkpoint of step {step} any more, only of {listed}")
        description = self.describe(step)
        where = self.folder / str(step) / "run"
        config = config_from_json(description["config"], where=f"{where}: config")
        codec = codec_from_json(description["codec"], where=f"{where}: codec", error=CheckpointError)
        model = make_model(config.model, codec)
        on_first_device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        params = self.restore_params(step, lambda: init_params(model, jax.random.key(0)), on_first_device)
        return LoadedRun(step, config, codec, model, params, description["params_sha256"], description)

    def wait(self) -> None:
        """Waits until the checkpoint that is being written is there.

        Raises:
            CheckpointError: it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for the checkpoint that is being written.

        Raises:
            CheckpointError: it could not be written; those before it are whole.
        """
        try:
            with self._writing():
                try:
                    self._manager.wait_until_finished()
                finally:
                    self._manager.close()  # on a full disk it has an error of its own
        finally:
            self._purge()

    def _restore(self, step: int, templates: dict[str, Any]) -> dict[str, Any]:
        description = self.describe(step)
        found, wanted = description["arrays"], array_types(templates)
        found = {name: value for name, value in found.items() if name.split("/")[0] in templates}
        if found != wanted:
            head = f"{self.folder / str(step)}: arrays do not fit this model:"
            raise CheckpointError(differences(head, found, wanted))
        folder = self.folder / str(step)
        try:
            with reading(folder):
                asked = {name: ocp.args.StandardRestore(template) for name, template in templates.items()}
                items = self._manager.restore(step, args=ocp.args.Composite(**asked))
            for name in templates:
                check_digest(folder, name, items[name], description)
        except DamagedError as error:
            raise self._with_others(step, error) from error
        return dict(items.items())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns whatever Orbax and TensorStore raise when writing fails into one error that names the folder."""
        try:
            yield
        except Exception as error:  # ValueError from TensorStore, OSError, or an error of a thread
            silence_unawaited_coroutines()
            steps = self.steps
            kept = f"the checkpoint of step {steps[-1]} is whole" if steps else "there is no checkpoint before it"
            raise CheckpointError(
                f"{self.folder}: a checkpoint could not be written ({one_line(error)}); {kept}; make room and give "
                "the same command again"
            ) from error

    def _with_others(self, step: int, error: DamagedError) -> DamagedError:
        """Returns the error with the checkpoints that are left, the newest of the earlier ones first."""
        others = sorted((other for other in self.steps if other != step), key=lambda other: (other > step, -other))
        advice = "there is no other checkpoint"
        if others:
            named = " and ".join(map(str, others[:2]))
            advice = f"there is also that of step {named}; 'ostinato train' resumes from the newest that is whole"
        return DamagedError(error.folder, error.what, advice=advice)

    def _purge(self) -> None:
        if not self._read_only and jax.process_index() == 0:
            with suppress(OSError):  # what stays is removed the next time
                durable.sync_folder(self.folder)
                shutil.rmtree(self.folder / DELETED)


def look(workdir: Path, read: Callable[[Checkpoints], T]) -> T:
    """Returns what `read` finds in the checkpoints of a run, which another process may be writing and removing.

    What fails over a checkpoint that was removed meanwhile is done again, with those that are there by then.

    Raises:
        CheckpointError: what `read` raises, over what is still there; or they are never there for long enough.
    """
    end_s = time.monotonic() + LOOK_S
    while True:
        before = _identities(workdir)
        try:
            with Checkpoints(workdir, read_only=True) as checkpoints:
                return read(checkpoints)
        except DamagedError as error:
            name = error.folder.name
            if before.get(name, 0) == _identities(workdir).get(name):
                raise
            failure = error
        except UnlistedError as error:
            if before == _identities(workdir):
                raise
            failure = error
        if time.monotonic() > end_s:
            raise CheckpointError(
                f"{workdir}: the run replaces its checkpoints faster than they can be read ({failure}); "
                "train with a larger --checkpoint-every or --keep-checkpoints, or try again"
            ) from failure


def _identities(workdir: Path) -> dict[str, int]:
    """Returns which folder each checkpoint is: one that was removed and written again is another."""
    found = {}
    for step in list_steps(workdir):
        with suppress(OSError):
            found[str(step)] = (workdir / CHECKPOINTS / str(step)).stat().st_ino
    return found


def load_params(workdir: Path, which: Literal["best", "latest"] | int = "best") -> LoadedRun:
    """Returns a trained model, without its optimizer, on the first device.

    Args:
        workdir: the folder of a run, or a model folder, which holds one model.
        which: best is the lowest validation loss, or the latest if none was measured; a number is a step.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    if is_model_folder(workdir):
        run = read_model(workdir)
        if isinstance(which, int) and which != run.step:
            raise CheckpointError(f"{workdir}: holds the model of step {run.step}, not that of step {which}")
        return run

    def read(checkpoints: Checkpoints) -> LoadedRun:
        step = {"best": checkpoints.best_step, "latest": checkpoints.latest_step}.get(str(which), which)
        assert isinstance(step, int), "Checkpoints raises when there is none"
        return checkpoints.load(step)

    return look(workdir, read)


def _items(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "opt": state.opt_state, "carry": state.carry}


def _struct(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
