"""Trained models by name: those in the box, which the package brings, and those that were fetched.

    chorales                   in the box: pretrained/box/chorales
    hub:USER/NAME[@REVISION]   on a Hub; fetched, it lies in the user's cache folder as models/USER/NAME[@REVISION]

Each is a model folder (`train.model_folder`). A folder that is named as a path comes before a name.
"""

import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ostinato.configs.errors import UserError, file_errors
from ostinato.train.folders import FILES, ModelFolderError, is_model_folder, is_run_folder, read_config

logger = logging.getLogger(__name__)

BOX = Path(__file__).parent / "box"
HUB = "hub:"
_WORD = r"[A-Za-z0-9][\w.-]*"
_FETCHED = re.compile(rf"({_WORD})/({_WORD})(?:@({_WORD}))?")


class ModelNameError(UserError):
    """A name that no model has."""


class Model(NamedTuple):
    """A model that is on this machine."""

    name: str
    folder: Path
    is_in_box: bool
    config: dict[str, Any]
    """What config.json says."""

    @property
    def num_bytes(self) -> int:
        return sum((self.folder / name).stat().st_size for name in FILES if (self.folder / name).is_file())


def cache_folder() -> Path:
    """Returns the folder that Ostinato may fill as it likes, and others may empty: OSTINATO_CACHE, if it is set."""
    if chosen := os.environ.get("OSTINATO_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato"


def fetched_folder() -> Path:
    """Returns where models lie that were fetched."""
    return cache_folder() / "models"


def list_models() -> list[Model]:
    """Returns all models on this machine, those in the box first; what is damaged is left out, and logged."""
    there = fetched_folder()
    fetched = [(str(folder.relative_to(there)), folder) for folder in sorted(there.glob("*/*"))]
    models = []
    for name, folder in [*((folder.name, folder) for folder in sorted(BOX.glob("*"))), *fetched]:
        if not is_model_folder(folder):
            continue
        try:
            models.append(Model(name, folder, folder.parent == BOX, read_config(folder)))
        except ModelFolderError as error:
            logger.warning("%s", error)
    return models


def find_model(name: str) -> Model:
    """Returns the model of a name: chorales, USER/NAME, hub:USER/NAME; or of a folder.

    Raises:
        ModelNameError: there is none on this machine; with the names that there are.
        ModelFolderError: the folder's is damaged.
    """
    folder = Path(name)
    if is_model_folder(folder):
        return Model(name, folder, False, read_config(folder))
    models = list_models()
    for model in models:
        if model.name == name.removeprefix(HUB):
            return model
    raise ModelNameError(f"{name}: no model of this name is here, only {listed(models)}; see 'ostinato models'")


def find_by_parameters(params_sha256: str) -> Model | None:
    """Returns the model with certain parameters, if it is on this machine."""
    return next((model for model in list_models() if model.config["params_sha256"] == params_sha256), None)


def is_name(source: str | Path) -> bool:
    """Tells whether a source is named, not shown as a folder that is there: it means the same in every folder."""
    folder = Path(source)
    return not (is_run_folder(folder) or is_model_folder(folder) or folder.is_absolute())


def where_found(source: str | Path, inputs: Mapping[str, str | Path]) -> dict[str, str]:
    """Returns where a model and other inputs of a piece are, for the JSON beside it: a model's name, and paths."""
    found = {"model": str(source)} if is_name(source) else {"workdir": str(Path(source).absolute())}
    return found | {name: str(Path(path).absolute()) for name, path in inputs.items()}


def remove_model(name: str) -> Path:
    """Removes a model that was fetched, and returns where it was.

    Raises:
        ModelNameError: there is none of this name, or it is in the box.
    """
    models = list_models()
    for model in models:
        if model.name == name.removeprefix(HUB):
            if model.is_in_box:
                raise ModelNameError(f"{name}: is in the box, which is a part of ostinato; it stays")
            with file_errors(model.folder):
                shutil.rmtree(model.folder)
            return model.folder
    raise ModelNameError(f"{name}: no model of this name was fetched; see 'ostinato models'")


def hub_folder(source: str) -> Path:
    """Returns where a model of the Hub lies once it was fetched."""
    user, repository, revision = parse_hub(source)
    return fetched_folder() / user / (f"{repository}@{revision}" if revision else repository)


def parse_hub(source: str) -> tuple[str, str, str]:
    """Returns user, name and revision of hub:USER/NAME[@REVISION]; the revision is empty where none is named.

    Raises:
        ModelNameError: it is spelled otherwise.
    """
    match = _FETCHED.fullmatch(source.removeprefix(HUB))
    if not match or not source.startswith(HUB):
        raise ModelNameError(f"{source}: a model on the Hub is spelled hub:USER/NAME or hub:USER/NAME@REVISION")
    return match[1], match[2], match[3] or ""


def listed(models: list[Model]) -> str:
    return ", ".join(model.name for model in models) or "none at all"
