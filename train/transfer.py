"""Fine-tuning: a run that begins with the parameters of another, with layers that stay.

`ostinato train --init-from RUN …` makes a run of its own: its optimizer, learning rate, step and history are new.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from ostinato.configs.schema import TrainConfig
from ostinato.model.network import init_params
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_line
from ostinato.train.checkpoint import LoadedRun, load_params, make_model
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
