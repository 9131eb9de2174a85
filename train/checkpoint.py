"""Checkpoints of a run: the only module that knows Orbax.

Each checkpoint `workdir/checkpoints/<step>` appears whole or not at all. It holds the items `params`, `opt`, `carry`
and `run`, a JSON description: configuration, codec, dataset, versions, progress, shape and dtype of each array, and the
SHA-256 of parameters and optimizer state, because Orbax restores a flipped bit in silence.
"""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Sharding
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from ostinato.configs.schema import ModelConfig, TrainConfig
from ostinato.model.network import MusicModel, init_params
from ostinato.music.codec import Codec, codec_from_json
from ostinato.train.description import CheckpointError, array_types, config_from_json, differences, tree_sha256
from ostinato.train.step import Params, TrainState

FOLDER = "checkpoints"
DELETED = "todelete"


class Checkpoints:
    """The checkpoints of one run: the newest few and the best by validation loss are kept."""

    def __init__(self, workdir: Path, *, keep: int = 1, read_only: bool = False) -> None:
        """Opens the checkpoints of a run.

        Args:
            workdir: the folder of the run.
            keep: newest checkpoints that are kept beside the best one.
            read_only: for looking at a run that another process may be writing.

        Raises:
            CheckpointError: read_only, and there is no finished checkpoint.
        """
        self.folder = Path(workdir).absolute() / FOLDER
        if read_only and not self.folder.is_dir():
            raise CheckpointError(f"{workdir}: no checkpoint here ({FOLDER}/ is missing); run 'ostinato train' first")
        self._read_only = read_only
        best = BestN(get_metric_fn=_validation_loss, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            # Without best_fn the manager does not write metrics, and after a restart the best checkpoint would go.
            best_fn=_validation_loss,
            best_mode="min",
            preservation_policy=AnyPreservationPolicy([LatestN(keep), best]),
            # A checkpoint that is half deleted when the process dies would still be listed: rename first.
            todelete_subdir=None if read_only else DELETED,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            # All processes of a job write together, but each may look by itself.
            multiprocessing_options=_this_process_alone() if read_only else ocp.options.MultiprocessingOptions(),
        )
        self._manager = ocp.CheckpointManager(
            self.folder, options=options, item_names=("params", "opt", "carry", "run")
        )
        if read_only and self.latest_step is None:
            self.close()
            raise CheckpointError(f"{workdir}: no finished checkpoint in {FOLDER}/; run 'ostinato train' first")

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """The checkpoint with the lowest validation loss; the latest one if no loss has been measured."""
        return self._manager.best_step()

    def save(self, state: TrainState, description: dict[str, Any], *, validation_loss: float | None) -> None:
        """Begins to write a checkpoint. The arrays are copied before it returns; the rest happens in a thread.

        Args:
            state: the state after `state.step` steps.
            description: what `run` shall hold, beside the arrays' shapes and digests.
            validation_loss: None if it was not measured at this step.

        Raises:
            OSError: the checkpoint before this one could not be written (a full disk, for instance).
        """
        step = int(state.step)
        description = {
            **description,
            "step": step,
            "arrays": array_types(_items(state)),
            "params_sha256": tree_sha256(state.params),
            "opt_sha256": tree_sha256(state.opt_state),
        }
        # Only between two checkpoints is nothing being renamed into the folder that is purged.
        self._manager.wait_until_finished()
        self._purge()
        self._manager.save(
            step,
            args=ocp.args.Composite(
                **{name: ocp.args.StandardSave(item) for name, item in _items(state).items()},
                run=ocp.args.JsonSave(description),
            ),
            metrics={"validation_loss": math.inf if validation_loss is None else validation_loss},
        )

    def describe(self, step: int) -> dict[str, Any]:
        """Returns the description that was saved with a checkpoint."""
        return self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))["run"]

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
        template = TrainState(
            *(
                jax.tree.map(lambda x, s=where: _struct(x, s), part)
                for part, where in zip(shapes, shardings, strict=True)
            )
        )
        items = self._restore(step, _items(template))
        state_step = jax.device_put(np.asarray(step, shapes.step.dtype), shardings.step)
        return TrainState(state_step, items["params"], items["opt"], items["carry"])

    def restore_params(self, step: int, init: Callable[[], Params], sharding: Sharding) -> Params:
        """Returns only the parameters of a checkpoint, checked as in `restore_state`."""
        template = jax.tree.map(lambda x: _struct(x, sharding), jax.eval_shape(init))
        return self._restore(step, {"params": template})["params"]

    def close(self) -> None:
        """Waits for the checkpoint that is being written."""
        self._manager.close()
        self._purge()

    def _restore(self, step: int, templates: dict[str, Any]) -> dict[str, Any]:
        description = self.describe(step)
        found, wanted = description["arrays"], array_types(templates)
        found = {name: value for name, value in found.items() if name.split("/")[0] in templates}
        if found != wanted:
            raise CheckpointError(
                f"{self.folder / str(step)}: arrays do not fit this model:\n" + differences(found, wanted)
            )
        try:
            items = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardRestore(template) for name, template in templates.items()}
                ),
            )
        except (ValueError, OSError, KeyError) as error:
            raise CheckpointError(f"{self.folder / str(step)}: cannot be read ({error})") from error
        for name in ("params", "opt"):
            if name in templates and tree_sha256(items[name]) != description[f"{name}_sha256"]:
                raise CheckpointError(
                    f"{self.folder / str(step)}: the bytes of '{name}' are not those that were saved "
                    f"(SHA-256 {tree_sha256(items[name])}, saved {description[f'{name}_sha256']}); "
                    "delete this checkpoint and go on from an older one"
                )
        return dict(items.items())

    def _purge(self) -> None:
        if not self._read_only and jax.process_index() == 0:
            shutil.rmtree(self.folder / DELETED, ignore_errors=True)  # what stays is purged the next time


class LoadedRun(NamedTuple):
    """A trained model with all that sampling and evaluation need to know about it."""

    step: int
    config: TrainConfig
    codec: Codec
    model: MusicModel
    params: Params
    params_sha256: str
    description: dict[str, Any]


def load_params(workdir: Path, which: Literal["best", "latest"] = "best") -> LoadedRun:
    """Returns a trained model, without its optimizer, on the first device.

    Args:
        workdir: the folder of the run.
        which: best is the lowest validation loss, or the latest if none was measured.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    with Checkpoints(workdir, read_only=True) as checkpoints:
        step = checkpoints.best_step if which == "best" else checkpoints.latest_step
        assert step is not None, "Checkpoints raises when there is none"
        description = checkpoints.describe(step)
        config, codec = config_from_json(description["config"]), codec_from_json(description["codec"])
        model = make_model(config.model, codec)
        on_first_device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        params = checkpoints.restore_params(step, lambda: init_params(model, jax.random.key(0)), on_first_device)
    return LoadedRun(step, config, codec, model, params, description["params_sha256"], description)


def make_model(config: ModelConfig, codec: Codec) -> MusicModel:
    """Returns the network for the fields of a codec."""
    return MusicModel(config=config, field_sizes=tuple(field.size for field in codec.fields))


def _this_process_alone() -> ocp.options.MultiprocessingOptions:
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )


def _items(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "opt": state.opt_state, "carry": state.carry}


def _struct(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _validation_loss(metrics: dict[str, float]) -> float:
    return metrics["validation_loss"]
