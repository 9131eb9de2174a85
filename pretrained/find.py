"""Finds what a command was given in place of a run: a run, a model folder, a model's name, or one on a Hub."""

from pathlib import Path

from ostinato.pretrained.hub import fetch
from ostinato.pretrained.models import HUB, ModelNameError, hub_folder, is_name, list_models, listed
from ostinato.train.folders import is_model_folder


def find_source(source: str | Path) -> Path:
    """Returns the folder of a run or of a model, which may be named by its path, its name, or hub:USER/NAME.

    What is on the Hub and not yet on this machine is fetched.

    Raises:
        ModelNameError: there is no such folder, and no model of this name.
        UserError: the model cannot be fetched.
    """
    name = str(source)
    if not is_name(source):
        return Path(source)
    if name.startswith(HUB):
        folder = hub_folder(name)
        if is_model_folder(folder):
            return folder
        return fetch(name)
    models = list_models()
    for model in models:
        if model.name == name:
            return model.folder
    if Path(source).is_dir():
        return Path(source)  # whoever opens it says what is missing in it
    raise ModelNameError(
        f"{name}: there is no run and no model folder here, and no model of this name, only {listed(models)}; see "
        "'ostinato models'"
    )
