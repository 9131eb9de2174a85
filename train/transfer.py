"""Fine-tuning: a run that begins with the parameters of another, with layers that stay, and with some of the old music.

`ostinato train --init-from RUN …` makes a run of its own: its optimizer, learning rate, step and history are new.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ostinato.configs.errors import UserError
from ostinato.configs.schema import DataConfig, TrainConfig
from ostinato.data.records import Dataset, TFRecordSource
from ostinato.model.network import init_params
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_line
from ostinato.train.checkpoint import LoadedRun, load_params, make_model
from ostinato.train.data import Batch, TrainingBatches, training_batches
from ostinato.train.fingerprint import array_types
from ostinato.train.run_metadata import CheckpointError, differences

FREE_TO_DIFFER = ("dropout", "precision", "recompute")
"""Settings of the network that its parameters do not depend on."""


def load_origin(workdir: Path, config: TrainConfig, codec: Codec) -> LoadedRun:
    """Returns the run that another one begins with, at its best checkpoint.

    A run without a copy gate may begin one with it: the gate is new, and all that is trained.

    Raises:
        CheckpointError: there is none, or its codec or network is another; with what differs.
    """
    origin = load_params(workdir, "best")
    if origin.codec.to_json() != codec.to_json():
        raise CheckpointError(
            f"{workdir}: was trained with another codec ({codec_line(origin.codec)}) than the dataset has "
            f"({codec_line(codec)}); prepare the dataset with the same --codec options"
        )
    found, wanted = (dataclasses.asdict(one.model) for one in (origin.config, config))
    differing = [name for name in found if found[name] != wanted[name] and name not in FREE_TO_DIFFER]
    if differing == ["copy"] and config.model.copy:
        new = init_params(make_model(config.model, codec), jax.random.key(config.seed))
        origin = origin._replace(params={**origin.params, "gate": new["gate"]})
    elif differing:
        flags = " ".join(_flag(name.replace("_", "-"), found[name]) for name in differing)
        raise CheckpointError(f"{workdir}: has another network; to begin with it, add {flags}")
    model = make_model(config.model, codec)
    shapes = array_types(jax.eval_shape(lambda: init_params(model, jax.random.key(0))))
    if array_types(origin.params) != shapes:
        raise CheckpointError(differences(f"{workdir}: arrays do not fit:", array_types(origin.params), shapes))
    return origin


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--model.{'' if value else 'no-'}{name}"
    return f"--model.{name} {value}"


def describe_origin(origin: LoadedRun, workdir: Path) -> dict[str, Any]:
    """Returns what a run says about the run that it began with; `added` are the parts that alone are trained."""
    added = ["gate"] if "gate" in origin.params and not origin.config.model.copy else []
    return {
        "workdir": str(workdir.absolute()),
        "step": origin.step,
        "params_sha256": origin.params_sha256,
        **({"added": added} if added else {}),
    }


def check_same_codec(old: Dataset, new: Dataset) -> None:
    """Refuses old music whose rows mean something else than those of the new.

    Raises:
        UserError: the codecs differ, be it in their vocabularies or styles.
    """
    if old.codec.to_json() != new.codec.to_json():
        raise UserError(
            f"{old.path}: --old-dataset was prepared with another codec ({codec_line(old.codec)}) than {new.path} "
            f"({codec_line(new.codec)}), vocabulary and styles included; prepare both with the same"
        )


def batches_with_old(
    new: TFRecordSource,
    old: TFRecordSource,
    config: DataConfig,
    *,
    seed: int,
    rows: slice,
    copy: bool = False,
    tell_keys: bool = False,
) -> "MixedBatches":
    """Returns batches whose last rows, `config.old_share` of them, come from the music that was learnt before.

    An epoch is one of the new music.
    """
    num_old = min(max(1, round(config.batch_size * config.old_share)), config.batch_size - 1)
    num_new = config.batch_size - num_old
    wanted = range(config.batch_size)[rows]
    new_rows = slice(min(wanted.start, num_new), min(wanted.stop, num_new))
    old_rows = slice(max(wanted.start - num_new, 0), max(wanted.stop - num_new, 0))
    sides = [
        training_batches(
            source,
            dataclasses.replace(config, batch_size=count, old_share=0.0),
            seed=seed,
            rows=some,
            copy=copy,
            tell_keys=tell_keys,
        )
        for source, count, some in ((new, num_new, new_rows), (old, num_old, old_rows))
    ]
    return MixedBatches(*sides, num_new_pieces=len(new))


class MixedBatches:
    """Batches of two collections, row upon row."""

    def __init__(self, new: TrainingBatches, old: TrainingBatches, *, num_new_pieces: int) -> None:
        """Takes the batches of both; the numbers of old pieces follow those of the new ones."""
        self._new, self._old = new, old
        self._num_new_pieces = num_new_pieces
        self.steps_per_epoch = new.steps_per_epoch

    def __getitem__(self, k: int) -> Batch:
        return jax.tree.map(lambda *pair: np.concatenate(pair), self._new[k], self._old[k])

    def pieces(self, k: int) -> list[int]:
        """Returns the numbers of the pieces in batch k; those of the old collection follow those of the new one."""
        return [*self._new.pieces(k), *(self._num_new_pieces + number for number in self._old.pieces(k))]
