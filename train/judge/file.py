"""The judge as a file: judge.safetensors holds its arrays and, under `ostinato`, what they are."""

import json
from pathlib import Path
from typing import Annotated, Any, TypedDict

import jax
import numpy as np
from msgspec import Meta
from safetensors import safe_open
from safetensors.numpy import save

from ostinato.configs.documents import ANYWHERE, Count, check_document, parse_document, read_bounded
from ostinato.configs.errors import UserError
from ostinato.configs.versions import package_version
from ostinato.data.atomic import write_atomically
from ostinato.model.judge import init_judge
from ostinato.train.fingerprint import array_types
from ostinato.train.folders import ModelFolderError
from ostinato.train.judge.training import JUDGE, TrainedJudge
from ostinato.train.model_folder import read_tensors
from ostinato.train.run_metadata import differences

FILE = "judge.safetensors"
FORMAT = 1
MAX_BYTES = 16 << 20
MAX_NOTES = 4096


class JudgeError(UserError):
    """A file that holds no judge, one of another version, or a damaged one."""


class JudgeFile(TypedDict):
    """What the file says of its arrays."""

    num_notes: Annotated[int, Meta(ge=1, le=MAX_NOTES)]
    epoch: Count


def write_judge(judge: TrainedJudge, path: Path) -> None:
    """Writes the file."""
    arrays = jax.tree_util.tree_leaves_with_path(judge.params)
    tensors = {jax.tree_util.keystr(name, simple=True, separator="/"): np.asarray(leaf) for name, leaf in arrays}
    description = {
        "generator": "ostinato judge",
        "format": FORMAT,
        "version": package_version("ostinato"),
        "num_notes": judge.num_notes,
        "epoch": judge.epoch,
    }
    write_atomically(path, save(tensors, {"ostinato": json.dumps(description)}))


def read_judge(path: Path) -> TrainedJudge:
    """Returns the judge of a file.

    Raises:
        JudgeError: it is missing, another kind of file, of another version, damaged, or its arrays do not fit.
    """
    if not path.is_file():
        raise JudgeError(f"{path}: no such file; --judge takes a {FILE} that 'ostinato evaluate' wrote")
    data = read_bounded(path, error=JudgeError, folder=ANYWHERE, max_bytes=MAX_BYTES)
    try:
        tensors = read_tensors(path, data)
    except ModelFolderError as error:
        raise JudgeError(str(error)) from error
    with safe_open(path, framework="numpy") as file:
        said = (file.metadata() or {}).get("ostinato", "")
    where = f"{path}: ostinato"
    description = parse_document(said.encode(), dict[str, Any], where=where, error=JudgeError)
    if (kind := description.get("generator")) != "ostinato judge":
        raise JudgeError(f"{path}: is of {kind!a:.60}, not a judge; --judge takes a {FILE} of 'ostinato evaluate'")
    if (version := description.get("format")) != FORMAT:
        raise JudgeError(f"{path}: has format {version!a:.60}, this version of ostinato reads {FORMAT}")
    document = check_document(description, JudgeFile, where=where, error=JudgeError)
    shapes = jax.eval_shape(lambda: init_judge(JUDGE, jax.random.key(0)))
    if array_types(tensors) != (expected := array_types(shapes)):
        raise JudgeError(
            differences(f"{path}: its arrays are not a judge's:", array_types(tensors), expected, place="file")
        )
    if broken := [name for name, values in tensors.items() if not np.isfinite(values).all()]:
        raise JudgeError(
            f"{path}: {broken[0]} holds numbers that are not finite; let 'ostinato evaluate' write it again"
        )
    params = jax.tree.unflatten(jax.tree.structure(shapes), [tensors[name] for name in array_types(shapes)])
    return TrainedJudge(params, document["num_notes"], document["epoch"])
