"""Finds the model that a piece was made with: `ostinato sample --again`."""

from pathlib import Path

from ostinato.pretrained.find import find_source
from ostinato.pretrained.models import find_by_parameters
from ostinato.sample.output.again import find_workdir
from ostinato.sample.output.provenance import Recipe


def find_again(recipe: Recipe, given: str | Path | None) -> Path:
    """Returns the run or model that a piece was made with: the given one, where it was, or one with its parameters.

    Raises:
        ProvenanceError: nothing says where it is, or it is gone.
        UserError: there is no model of the given name, or it cannot be fetched.
    """
    if given:
        return find_workdir(recipe, find_source(given))
    workdir, name = recipe.found.get("workdir"), recipe.found.get("model")
    if not workdir or not Path(workdir).is_dir():
        if model := find_by_parameters(recipe.origin["params_sha256"]):
            return model.folder
        if name:
            return find_source(name)
    return find_workdir(recipe, None)
