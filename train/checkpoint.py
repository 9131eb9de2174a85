"""Checkpoints of a run: the only module that knows Orbax.

Each checkpoint `workdir/checkpoints/<step>` appears whole or not at all. It holds the items `params`, `opt`, `carry`
and `run`, a JSON description: configuration, codec, dataset, versions, history, progress, shape and dtype of each
array, and the SHA-256 of each item and of itself, because Orbax restores a flipped bit in silence.
"""

import json
import logging
import math
import operator
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from ostinato.configs.documents import check_document
from ostinato.configs.errors import file_errors
from ostinato.model.network import init_params
from ostinato.music.codecs import codec_from_json
from ostinato.train.fingerprint import array_types, json_sha256, tree_sha256
from ostinato.train.folders import CHECKPOINTS, CheckpointError, is_model_folder
from ostinato.train.loaded_run import LoadedRun, make_model
from ostinato.train.model_folder import read_model
from ostinato.train.orbax_threads import silence_late_errors, silence_unawaited_coroutines
from ostinato.train.run_document import Versioned, check_losses, check_run
from ostinato.train.run_metadata import FORMAT, config_from_json, differences
from ostinato.train.step import Params, TrainState

logger = logging.getLogger(__name__)

LOSS = "validation_loss"
DELETED = "todelete"
DESCRIBED = ("config", "codec", "dataset", "progress", "arrays", "params_sha256")
"""What the description in a checkpoint of any format says."""
SET_ASIDE = "set-aside"
"""Where `set_aside` puts checkpoints."""


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
            # All processes of a job write together, but each may look by itself.
            multiprocessing_options=_this_process_alone() if read_only else together,
        )
        check_losses(self.folder)
        try:
            names = ("params", "opt", "carry", "run")
            self._manager = ocp.CheckpointManager(self.folder, options=options, item_names=names)
        except (OSError, ValueError, KeyError, TypeError) as error:  # it reads the loss of each checkpoint
            raise CheckpointError(
                f"{self.folder}: cannot be read ({_one_line(error)}){_broken(self.folder)}"
            ) from error
        if read_only and self.latest_step is None:
            self.close()
            raise CheckpointError(f"{workdir}: no finished checkpoint in {CHECKPOINTS}/; run 'ostinato train' first")

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
            # Only between two checkpoints is nothing being renamed into the folder that is purged.
            self._manager.wait_until_finished()
            self._purge()
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
        with self._reading(step):
            description = self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]
        where = self.folder / str(step) / "run"
        version = check_document(description, Versioned, where=where, error=CheckpointError).get("format", 1)
        if version > FORMAT:
            raise CheckpointError(
                f"{self.folder / str(step)}: has format {version}, this version of ostinato reads up to {FORMAT}; "
                "install the version that wrote it"
            )
        seal = description.pop("sha256", None)
        if version > 1 and seal != json_sha256(description):
            raise self._damaged(step, "the bytes of 'run' are not those that were saved")
        if missing := [name for name in DESCRIBED if name not in description]:
            raise self._damaged(step, f"'run' does not say {', '.join(missing)}")
        check_run(description, self.folder / str(step))
        return description

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
            raise CheckpointError(
                f"{self.folder / str(step)}: arrays do not fit this model:\n" + differences(found, wanted)
            )
        with self._reading(step):
            asked = {name: ocp.args.StandardRestore(template) for name, template in templates.items()}
            items = self._manager.restore(step, args=ocp.args.Composite(**asked))
        for name in templates:
            saved = description.get(f"{name}_sha256")  # format 1 has none of the carry
            if saved is not None and tree_sha256(items[name]) != saved:
                raise self._damaged(step, f"the bytes of '{name}' are not those that were saved")
        return dict(items.items())

    @contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Turns whatever Orbax, TensorStore and JSON raise over damaged files into one error that says so."""
        try:
            yield
        except Exception as error:  # the type depends on which byte of which file is wrong
            silence_unawaited_coroutines()
            raise self._damaged(step, f"cannot be read ({type(error).__name__}: {_one_line(error)})") from error

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
                f"{self.folder}: a checkpoint could not be written ({_one_line(error)}); {kept}; make room and give "
                "the same command again"
            ) from error

    def _damaged(self, step: int, what: str) -> CheckpointError:
        """Returns the error with the checkpoints that are left, the newest of the earlier ones first."""
        others = sorted((other for other in self.steps if other != step), key=lambda other: (other > step, -other))
        if not others:
            advice = "there is no other checkpoint; delete the folder to start again"
        else:
            named = " and ".join(map(str, others[:2]))
            advice = (
                f"there is also that of step {named}: 'ostinato train --from-step {others[0]} ...' sets the later ones "
                f"aside and resumes from step {others[0]}"
            )
        return CheckpointError(f"{self.folder / str(step)}: {what}; {advice}")

    def _purge(self) -> None:
        if not self._read_only and jax.process_index() == 0:
            shutil.rmtree(self.folder / DELETED, ignore_errors=True)  # what stays is purged the next time


def set_aside(workdir: Path, *, after: int) -> None:
    """Moves all checkpoints after a step into set-aside/, so that the run resumes from that step.

    Raises:
        CheckpointError: there is no checkpoint of that step.
        UserError: the folder cannot be written to.
    """
    folder = workdir / CHECKPOINTS
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())
    if after not in steps:
        listed = ", ".join(map(str, steps)) or "none"
        raise CheckpointError(f"{folder}: there is no checkpoint of step {after}, only of {listed}")
    with file_errors(workdir / SET_ASIDE):
        for step in (step for step in steps if step > after):
            target = workdir / SET_ASIDE / str(step)
            while target.exists():
                target = target.with_name(f"{target.name}-")
            target.parent.mkdir(exist_ok=True)
            (folder / str(step)).rename(target)
            logger.info("%s: set aside", target)


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
    with Checkpoints(workdir, read_only=True) as checkpoints:
        named = {"best": checkpoints.best_step, "latest": checkpoints.latest_step}
        step = which if isinstance(which, int) else named[which]
        assert step is not None, "Checkpoints raises when there is none"
        if step not in checkpoints.steps:
            listed = ", ".join(map(str, checkpoints.steps))
            raise CheckpointError(f"{workdir}: there is no checkpoint of step {step} any more, only of {listed}")
        description = checkpoints.describe(step)
        where = checkpoints.folder / str(step) / "run"
        config = config_from_json(description["config"], where=f"{where}: config")
        codec = codec_from_json(description["codec"], where=f"{where}: codec", error=CheckpointError)
        model = make_model(config.model, codec)
        on_first_device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        params = checkpoints.restore_params(step, lambda: init_params(model, jax.random.key(0)), on_first_device)
    return LoadedRun(step, config, codec, model, params, description["params_sha256"], description)


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )


def _broken(folder: Path) -> str:
    """Returns which checkpoints cannot say their validation loss, as the end of a message."""
    names = []
    for file in sorted(folder.glob("*/metrics/metrics")):
        try:
            float(json.loads(file.read_bytes())[LOSS])
        except (ValueError, KeyError, TypeError):
            names.append(str(file))
    return f"; damaged: {', '.join(names)}; move the folder of such a checkpoint away" if names else ""


def _one_line(error: BaseException) -> str:
    """Returns what an error says, without the many lines that TensorStore adds."""
    return " ".join(str(error).split())[:300]


def _items(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "opt": state.opt_state, "carry": state.carry}


def _struct(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
