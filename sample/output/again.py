"""What a piece was made with, found again."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from ostinato.configs.versions import package_version
from ostinato.music.midi import MIDI_SUFFIXES
from ostinato.sample.output.provenance import ProvenanceError, Recipe, describe_input
from ostinato.train.checkpoint import Checkpoints, LoadedRun, load_params, look
from ostinato.train.folders import CheckpointError, is_model_folder


def load_run(recipe: Recipe, workdir: Path) -> LoadedRun:
    """Returns the model that made the piece, from whichever checkpoint of the run still holds its parameters.

    Raises:
        ProvenanceError: none does; with the steps of those that there are.
        CheckpointError: there is no checkpoint at all, or the one with the parameters is damaged.
    """
    wanted, step = recipe.origin["params_sha256"], recipe.origin["step"]
    if is_model_folder(workdir):
        run = load_params(workdir)
        if run.params_sha256 != wanted:
            raise ProvenanceError(
                f"{recipe.source}: was made with the parameters {wanted[:16]}, but the model in {workdir} has "
                f"{run.params_sha256[:16]}; name the right one with --model or --workdir"
            )
        return run

    def read(checkpoints: Checkpoints) -> LoadedRun:
        found: dict[int, str] = {}
        for number in checkpoints.steps:
            with contextlib.suppress(CheckpointError):  # a damaged one may not be needed
                found[number] = checkpoints.describe(number)["params_sha256"]
        same = [number for number, sha256 in found.items() if sha256 == wanted]
        if not same:
            steps = ", ".join(f"{number} ({sha256[:16]})" for number, sha256 in found.items())
            raise ProvenanceError(
                f"{recipe.source}: was made with the parameters {wanted[:16]} of step {step}, but {workdir} has only "
                f"those of step {steps}; name the right run with --workdir"
            )
        return checkpoints.load(step if step in same else same[-1])

    return look(workdir, read)


def find_inputs(recipe: Recipe, given: Mapping[str, str | Path]) -> dict[str, str]:
    """Returns where the inputs of a piece are: where the user says, or where they were when it was made.

    Raises:
        ProvenanceError: one is missing, or another than it was; or one is given that had no part in it.
    """
    paths: dict[str, str] = {}
    given = {name: str(path) for name, path in given.items() if str(path)}
    unknown = sorted(given.keys() - recipe.origin["inputs"].keys())
    if unknown:
        raise ProvenanceError(f"{recipe.source}: was made without --{unknown[0]}; leave it out")
    for name, wanted in recipe.origin["inputs"].items():
        path = given.get(name) or recipe.found.get(name, "")
        if not path or not Path(path).exists():
            where = f"it is no longer at {path}" if path else "nothing says where it is"
            raise ProvenanceError(
                f"{recipe.source}: was made with --{name} {wanted['name']}, and {where}; name it with --{name}"
            )
        has = describe_input(path)["sha256"]
        if has != wanted["sha256"]:
            raise ProvenanceError(
                f"{recipe.source}: was made with --{name} {wanted['name']} of SHA-256 {wanted['sha256'][:16]}, but "
                f"{path} has {has[:16]}; name the right one with --{name}"
            )
        paths[name] = path
    return paths


def find_workdir(recipe: Recipe, given: Path | None) -> Path:
    """Returns the run that the piece was made with: the given one, or where it was when it was made.

    Raises:
        ProvenanceError: nothing says where it is, or it is gone.
    """
    path = given or Path(recipe.found.get("workdir", ""))
    if not given and not recipe.found.get("workdir"):
        raise ProvenanceError(f"{recipe.source}: does not say where its model is; name the run with --workdir")
    if not path.is_dir():
        raise ProvenanceError(f"{recipe.source}: its model is not at {path}; name the run with --workdir")
    return path


def check_bytes(recipe: Recipe, midi_bytes: bytes) -> None:
    """Refuses a piece that did not come out as it was.

    Raises:
        ProvenanceError: with what may be the reason.
    """
    if not recipe.midi_sha256 or hashlib.sha256(midi_bytes).hexdigest() == recipe.midi_sha256:
        return
    version = package_version("ostinato")
    if recipe.origin["version"] != version:
        reason = f"it was made by ostinato {recipe.origin['version']}, this is {version}"
    elif recipe.source.suffix.lower() in MIDI_SUFFIXES:
        reason = "the file was changed since, or made on another kind of processor or with another version of JAX"
    else:
        reason = "it was made on another kind of processor or with another version of JAX"
    raise ProvenanceError(f"{recipe.source}: was made again, but not to the same bytes: {reason}")
