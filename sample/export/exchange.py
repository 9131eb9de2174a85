"""A trained model as one file of safetensors, and back: `ostinato export` and `ostinato import`.

The file holds float32 arrays named and laid out as in `model.torch_layout`, and in its metadata, under `ostinato`, a
JSON description: the configuration of the network, the codec, and the fingerprint of the parameters.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from ostinato.configs.adversary import AdversaryConfig
from ostinato.configs.documents import ANYWHERE, check_document, parse_document, read_bounded
from ostinato.configs.errors import UserError
from ostinato.configs.schema import TrainConfig
from ostinato.configs.versions import package_version
from ostinato.data.atomic import make_folder, write_atomically
from ostinato.model.network import carry_numbers, init_params, initial_carry
from ostinato.model.torch_layout import from_torch_layout, to_torch_layout
from ostinato.music.codecs import codec_from_json
from ostinato.train.checkpoint import Checkpoints, LoadedRun, make_model
from ostinato.train.fingerprint import array_types
from ostinato.train.folders import MAX_MODEL_BYTES, ModelFolderError, is_model_folder
from ostinato.train.model_folder import read_model, read_tensors
from ostinato.train.run_document import ModelRun, check_config
from ostinato.train.run_metadata import FORMAT as CHECKPOINT_FORMAT
from ostinato.train.run_metadata import PACKAGES, Progress, config_from_json, differences
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import TrainState

MAX_CARRY = 1 << 30
"""Numbers in the states of all rows of a batch, which a checkpoint holds."""
PARAMETERS = "parameters.safetensors"
FORMAT = 1


class ExchangeError(UserError):
    """A file that is no exported model, or a folder that cannot take one."""


class Exported(NamedTuple):
    """What a file of safetensors holds."""

    params: dict[str, Any]
    config: TrainConfig
    description: dict[str, Any]


def describe_model(run: LoadedRun) -> dict[str, Any]:
    """Returns the JSON description of a model."""
    codec = run.codec
    return {
        "generator": "ostinato",
        "format": FORMAT,
        "version": package_version("ostinato"),
        "params_sha256": run.params_sha256,
        "step": run.step,
        "config": run.description["config"],
        "codec": codec.to_json(),
        "fields": [{"name": field.name, "size": field.size} for field in codec.fields],
        "start": [int(value) for value in codec.start],
        "end": [int(value) for value in codec.end],
    }


def write_parameters(run: LoadedRun, path: Path) -> dict[str, Any]:
    """Writes the file and returns its description."""
    tensors = {
        name: np.asarray(value, order="C") for name, value in to_torch_layout(run.params, run.config.model).items()
    }
    description = {
        **describe_model(run),
        "tensors": {name: list(value.shape) for name, value in sorted(tensors.items())},
    }
    write_atomically(path, save(tensors, {"ostinato": json.dumps(description)}))
    return description


def read_parameters(path: Path) -> Exported:
    """Returns a model that `write_parameters` wrote, or one of a model folder.

    Raises:
        ExchangeError: it is another kind of file, of another version, damaged, or an array does not fit the network.
    """
    if is_model_folder(path):
        run = read_model(path)
        return Exported(run.params, run.config, {**run.description, "params_sha256": run.params_sha256})
    if not path.is_file():
        raise ExchangeError(f"{path}: no such file; give a {PARAMETERS} that 'ostinato export' wrote")
    data = read_bounded(path, error=ExchangeError, folder=ANYWHERE, max_bytes=MAX_MODEL_BYTES)
    try:
        tensors = read_tensors(path, data)
    except ModelFolderError as error:
        raise ExchangeError(str(error)) from error
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
    if "ostinato" not in metadata:
        raise ExchangeError(f"{path}: has no description by ostinato; only files of 'ostinato export' can be imported")
    where, said = f"{path}: ostinato", metadata["ostinato"].encode()
    description = parse_document(said, dict[str, Any], where=where, error=ExchangeError, is_python=True)
    if (version := description.get("format")) != FORMAT:
        raise ExchangeError(f"{path}: has format {version!a:.60}, this version of ostinato reads {FORMAT}")
    check_document(description, ModelRun, where=where, error=ExchangeError)
    check_config(description["config"], where=f"{where}.config", num_arrays=len(tensors))
    config = config_from_json(description["config"], where=f"{where}.config")
    model = make_model(config.model, codec_from_json(description["codec"], where=f"{where}.codec", error=ExchangeError))
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    expected = array_types(jax.eval_shape(lambda params: to_torch_layout(params, config.model), shapes))
    if array_types(tensors) != expected:
        head = f"{path}: its arrays are not those of its network:"
        raise ExchangeError(differences(head, array_types(tensors), expected, place="file"))
    return Exported(from_torch_layout(tensors, config.model), config, description)


def import_run(path: Path, workdir: Path) -> int:
    """Makes a run out of an exported model, with one checkpoint of step 0; returns the number of its parameters.

    It can be sampled, and `ostinato train` goes on from it, on any dataset with the same codec: the first one becomes
    that of the run. The optimizer starts anew, without the judge of an adversary.

    Raises:
        ExchangeError: as `read_parameters` does, or there is a run in the folder already.
    """
    exported = read_parameters(path)
    config = exported.config
    if (workdir / "checkpoints").exists():
        raise ExchangeError(f"{workdir}: there is a run in it already; choose another folder")
    rows = config.data.batch_size
    if rows * carry_numbers(config.model) > MAX_CARRY:
        raise ExchangeError(f"{path}: config.data.batch_size {rows} would take gigabytes for the states of the network")
    optimizer = make_optimizer(config.optimizer, max(1, config.num_steps))
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=exported.params,
        opt_state=optimizer.init(exported.params),
        carry=initial_carry(config.model, config.data.batch_size),
    )
    description = {
        "format": CHECKPOINT_FORMAT,
        "config": {**exported.description["config"], "adversary": dataclasses.asdict(AdversaryConfig())},
        "codec": exported.description["codec"],
        "dataset": {"path": "", "fingerprint": ""},  # the first dataset that it is trained on
        "versions": {package: package_version(package) for package in PACKAGES},
        "music": exported.description.get("music"),
        "history": [],
        "imported": {"file": path.name, "params_sha256": exported.description["params_sha256"]},
        "progress": Progress()._asdict(),
    }
    make_folder(workdir)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(state, description, validation_loss=None)
    return sum(leaf.size for leaf in jax.tree.leaves(exported.params))
