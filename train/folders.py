"""The folders that hold models, and what tells them apart without JAX: a run has checkpoints, a model folder one model.

model.safetensors   parameters, named and laid out as in `model.torch_layout`; float32, float16 or bfloat16
config.json         configuration, codec, what was heard in training, versions; the SHA-256 of model.safetensors
README.md           the model card
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ostinato.configs.documents import ANYWHERE, Count, Sha256, check_document, read_bounded, read_document
from ostinato.configs.errors import UserError

CHECKPOINTS = "checkpoints"
PARAMETERS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = (PARAMETERS, CONFIG, CARD)
FORMAT = 1
"""Of config.json."""
MAX_CONFIG_BYTES = 4 << 20
MAX_MODEL_BYTES = 1 << 40


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


class ModelFile(TypedDict):
    """What config.json says; its `run` is read by `model_folder.read_model`."""

    name: str
    summary: str
    licence: str
    stored: str
    sha256: Sha256
    params_sha256: str
    num_parameters: Count
    run: dict[str, Any]
    training_s: NotRequired[float | None]


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
    config = read_document(
        path, dict[str, Any], error=ModelFolderError, folder=ANYWHERE, max_bytes=MAX_CONFIG_BYTES, is_python=True
    )
    if (kind := config.get("model_type")) != "ostinato":
        raise ModelFolderError(f"{path}: is of a model of type {kind!a:.60}, not of 'ostinato'")
    if (version := config.get("format")) != FORMAT:
        raise ModelFolderError(f"{path}: has format {version!a:.60}, this version of ostinato reads {FORMAT}")
    return dict(check_document(config, ModelFile, where=path, error=ModelFolderError))


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
    data = read_bounded(path, error=ModelFolderError, folder=ANYWHERE, max_bytes=MAX_MODEL_BYTES)
    if (found := hashlib.sha256(data).hexdigest()) != config["sha256"]:
        raise ModelFolderError(
            f"{path}: has the SHA-256 {found[:16]}, and {CONFIG} says {config['sha256'][:16]}: one of the files was "
            "changed or is damaged; fetch or export the model again"
        )
    return data
