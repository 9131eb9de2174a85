"""A trained model as a folder that can be given away: `train.folders` says what is in it.

Nothing else in such a folder is read, and nothing that is read is run. What is read is float32 again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from ostinato.configs.documents import check_document
from ostinato.configs.versions import package_version
from ostinato.data.atomic import make_folder, write_atomically
from ostinato.model.network import init_params
from ostinato.model.torch_layout import from_torch_layout, to_torch_layout
from ostinato.music.codecs import codec_from_json
from ostinato.train.fingerprint import array_types, tree_sha256
from ostinato.train.folders import (
    CONFIG,
    FORMAT,
    PARAMETERS,
    ModelFolderError,
    read_config,
    read_parameters,
)
from ostinato.train.loaded_run import LoadedRun, make_model
from ostinato.train.music_heard import music_of
from ostinato.train.run_document import ModelRun, check_config
from ostinato.train.run_metadata import config_from_json, differences

StoredType = Literal["float32", "float16", "bfloat16"]
_STORED = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_TRAVELS = ("dataset", "mixture", "versions", "devices", "init_from", "history", "progress")
"""What the description of a run says that stays true elsewhere."""


def write_model(
    run: LoadedRun, folder: Path, *, about: Mapping[str, Any], stored: StoredType = "float32"
) -> dict[str, Any]:
    """Writes model.safetensors and config.json, and returns what config.json says.

    Args:
        run: the model.
        folder: is made where it is not there; these two files in it are replaced.
        about: what lists of models show: name, summary, licence and others.
        stored: how parameters are stored. The lower precisions halve the file and round each number once.

    Raises:
        UserError: a parameter is too large for float16, or the folder cannot be written to.
    """
    dtype = jnp.dtype(stored)
    layout = to_torch_layout(run.params, run.config.model)
    with np.errstate(over="ignore"):  # is found below
        tensors = {name: np.asarray(value, dtype, order="C") for name, value in layout.items()}
    for name, value in tensors.items():
        if not np.isfinite(value.astype(np.float32)).all():
            raise ModelFolderError(f"{name} has numbers that {stored} cannot hold; store it as float32")
    data = save(tensors, {"format": "pt"})
    read_back = from_torch_layout(_float32(tensors), run.config.model)
    config = {
        "model_type": "ostinato",
        "format": FORMAT,
        "version": package_version("ostinato"),
        **about,
        "num_parameters": sum(leaf.size for leaf in jax.tree.leaves(run.params)),
        "stored": stored,
        "sha256": hashlib.sha256(data).hexdigest(),
        "params_sha256": tree_sha256(read_back),
        "run": _travelling(run),
    }
    make_folder(folder)
    write_atomically(folder / PARAMETERS, data)
    write_atomically(folder / CONFIG, (json.dumps(config, indent=1) + "\n").encode())
    return config


def read_model(folder: Path) -> LoadedRun:
    """Returns the model of a folder.

    Raises:
        ModelFolderError: as `read_config`; or model.safetensors is another file than the one that config.json speaks
            of, or does not fit the network.
    """
    described = read_config(folder)
    path, data = folder / PARAMETERS, read_parameters(folder, described)
    tensors = read_tensors(path, data)
    where = f"{folder / CONFIG}: run"
    run = described["run"]
    step = check_document(run, ModelRun, where=where, error=ModelFolderError)["step"]
    check_config(run["config"], where=f"{where}.config", num_arrays=len(tensors))
    config = config_from_json(run["config"], where=f"{where}.config")
    codec = codec_from_json(run["codec"], where=f"{where}.codec", error=ModelFolderError)
    model = make_model(config.model, codec)
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    expected = array_types(jax.eval_shape(lambda params: to_torch_layout(params, config.model), shapes))
    if array_types(tensors) != expected:
        head = f"{path}: its arrays are not those of its network:"
        raise ModelFolderError(differences(head, array_types(tensors), expected, place="file"))
    params = from_torch_layout(tensors, config.model)
    return LoadedRun(
        step, config, codec, model, params, tree_sha256(params), {**run, "training_s": described.get("training_s")}
    )


def _travelling(run: LoadedRun) -> dict[str, Any]:
    """Returns the description of a run without paths of the machine where it was trained."""
    said = {name: run.description[name] for name in _TRAVELS if name in run.description}
    said["dataset"] = {"path": "", "fingerprint": said.get("dataset", {}).get("fingerprint", "")}
    if said.get("mixture"):
        datasets = [{**one, "path": ""} for one in said["mixture"]["datasets"]]
        said["mixture"] = {**said["mixture"], "datasets": datasets}
    if said.get("init_from"):
        said["init_from"] = {**said["init_from"], "workdir": Path(said["init_from"]["workdir"]).name}
    return {
        **said,
        "config": dataclasses.asdict(run.config),
        "codec": run.codec.to_json(),
        "music": music_of(run.description),
        "step": run.step,
        "params_sha256": run.description.get("params_sha256", run.params_sha256),
    }


def read_tensors(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays in the bytes of a file of safetensors as float32.

    Raises:
        ModelFolderError: it is another kind of file, or has an array of another type.
    """
    try:
        found = deserialize(data)
    except SafetensorError as error:
        raise ModelFolderError(f"{path}: not a file of safetensors ({error})") from error
    tensors = {}
    for name, tensor in found:
        if tensor["dtype"] not in _STORED:
            raise ModelFolderError(f"{path}: {name} has the type {tensor['dtype']}, not {', '.join(_STORED)}")
        values = np.frombuffer(tensor["data"], jnp.dtype(_STORED[tensor["dtype"]]))
        tensors[name] = values.reshape(tensor["shape"])
    return _float32(tensors)


def _float32(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value.astype(np.float32) for name, value in tensors.items()}
