"""The folders that hold models, and what tells them apart without JAX: a run has checkpoints, a model folder one model.

model.safetensors   parameters, named and laid out as in `model.torch_layout`; float32, float16 or bfloat16
config.json         configuration, codec, what was heard in training, versions; the SHA-256 of model.safetensors
README.md           the model card
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError, file_errors

CHECKPOINTS = "checkpoints"
PARAMETERS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = (PARAMETERS, CONFIG, CARD)
FORMAT = 1
"""Of config.json."""
MAX_CONFIG_BYTES = 4 << 20


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or does not fit."""


class DamagedError(CheckpointError):
    """A checkpoint that is not as it was saved."""

    def __init__(self, folder: Path, what: str, *, advice: str = "") -> None:
        """Takes the folder of the checkpoint, what is wrong with it, and what there is to say besides."""
        super().__init__(f"{folder}: {what}" + (f"; {advice}" if advice else ""))
        self.folder, self.what = folder, what


class ModelFolderError(CheckpointError):
    """A folder that holds no model, one of another version, or a damaged one."""


def is_run_folder(folder: Path) -> bool:
    """Tells whether a folder is that of a run."""
    return (folder / CHECKPOINTS).is_dir()


def is_model_folder(folder: Path) -> bool:
    """Tells whether a folder looks like that of a model."""
    return (folder / CONFIG).is_file() and (folder / PARAMETERS).is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """Returns what config.json says; the parameters are not looked at.

    Raises:
        ModelFolderError: it is missing, damaged, or of another version.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ModelFolderError(f"{folder}: no model here ({CONFIG} is missing)")
    with file_errors(path):
        if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
            raise ModelFolderError(f"{path}: has {size:,} bytes, at most {MAX_CONFIG_BYTES:,} are read")
        data = path.read_bytes()
    with understanding(path):
        config = dict(json.loads(data))
        if config.get("model_type") != "ostinato":
            raise ModelFolderError(f"{path}: is of a model of type {config.get('model_type')!r}, not of 'ostinato'")
        if config["format"] != FORMAT:
            raise ModelFolderError(f"{path}: has format {config['format']}, this version of ostinato reads {FORMAT}")
        text = ("name", "summary", "licence", "stored", "sha256", "params_sha256")
        if wrong := [name for name in text if not isinstance(config[name], str)]:
            raise ModelFolderError(f"{path}: damaged ({wrong[0]} is no text)")
        config["num_parameters"] = int(config["num_parameters"])
        config["run"] = dict(config["run"])
    return config


def read_parameters(folder: Path, config: Mapping[str, Any]) -> bytes:
    """Returns the bytes of model.safetensors.

    Args:
        folder: of the model.
        config: what `read_config` returned.

    Raises:
        ModelFolderError: the file is missing, or another than the one that config.json speaks of.
    """
    path = folder / PARAMETERS
    if not path.is_file():
        raise ModelFolderError(f"{folder}: no model here ({PARAMETERS} is missing)")
    with file_errors(path):
        data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != config["sha256"]:
        raise ModelFolderError(
            f"{path}: has the SHA-256 {found[:16]}, and {CONFIG} says {config['sha256'][:16]}: one of the files was "
            "changed or is damaged; fetch or export the model again"
        )
    return data


@contextmanager
def understanding(path: Path) -> Iterator[None]:
    """Turns what a document of another shape raises into one error that names the file."""
    try:
        yield
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFolderError(f"{path}: damaged ({type(error).__name__}: {error})") from error
