"""What a checkpoint says about itself in JSON: how it is written, read, compared, and verified by digests."""

import dataclasses
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from ostinato.music.records import Dataset

PACKAGES = ("ostinato", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
"""Their versions are written down, since they decide about the last digits."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or does not fit."""


class Progress(NamedTuple):
    """How far a run is, and what early stopping has to remember. Losses are validation losses in nats per step."""

    step: int = 0
    initial_loss: float | None = None
    """Before the first step."""
    last_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    evaluations_without_gain: int = 0
    finished: bool = False
    """The run was complete at this step: all steps done, or stopped early."""

    def evaluated(self, step: int, loss: float) -> "Progress":
        """Returns the progress after a measurement. Of equal losses the later one is the best."""
        better = self.best_loss is None or loss < self.best_loss
        is_best = better or loss == self.best_loss
        return self._replace(
            last_loss=loss,
            best_step=step if is_best else self.best_step,
            best_loss=loss if is_best else self.best_loss,
            evaluations_without_gain=0 if better else self.evaluations_without_gain + 1,
        )

    def exhausted(self, patience: int) -> bool:
        return patience > 0 and self.evaluations_without_gain >= patience


def describe_run(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """Returns what every checkpoint of a run holds about it."""
    return {
        "config": dataclasses.asdict(config),
        "codec": dataset.codec.to_json(),
        "dataset": {"path": str(dataset.path), "fingerprint": dataset.fingerprint},
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
    }


def config_from_json(values: dict[str, Any]) -> TrainConfig:
    """Returns the configuration that `dataclasses.asdict` turned into JSON.

    Raises:
        CheckpointError: it has a field that this version does not know.
    """
    parts = {"model": ModelConfig, "data": DataConfig, "optimizer": OptimizerConfig}
    try:
        return TrainConfig(**{name: parts[name](**value) if name in parts else value for name, value in values.items()})
    except TypeError as error:
        raise CheckpointError(f"the configuration was written by another version of ostinato ({error})") from error


def check_same_run(saved: dict[str, Any], now: dict[str, Any], workdir: Path) -> None:
    """Refuses to go on with a run whose network, data, codec or seed is another.

    The length of the run, the optimizer's settings and the intervals may change.

    Raises:
        CheckpointError: with a line for each value that differs.
    """
    found, wanted = _flat(_fixed(saved)), _flat(_fixed(now))
    if found != wanted:
        raise CheckpointError(
            f"{workdir}: this run was started differently; choose another --workdir or the same settings:\n"
            + differences(found, wanted)
        )


def _fixed(run: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a description that a run keeps all its life."""
    config = run["config"]
    # What a run did not know yet has its default, which stands for what was done before there was a choice.
    kept = {
        "model": {**dataclasses.asdict(ModelConfig()), **config["model"]},
        "data": {**dataclasses.asdict(DataConfig()), **config["data"]},
        "seed": config["seed"],
    }
    return {**kept, "codec": run["codec"], "dataset": run["dataset"]["fingerprint"]}


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Returns the leaves of nested dictionaries by dotted path."""
    if not isinstance(value, dict):
        return {path: json.dumps(value)}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in _flat(part, f"{path}.{key}" if path else key).items()
    }


def differences(found: dict[str, str], wanted: dict[str, str]) -> str:
    """Returns a line for each name whose value is not the same in both."""

    def short(value: str | None) -> str:
        return "nothing" if value is None else value if len(value) <= 60 else f"{value[:57]}..."

    return "\n".join(
        f"  {name}: {short(found.get(name))} in the checkpoint, {short(wanted.get(name))} now"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    )


def array_types(tree: Any) -> dict[str, str]:
    """Returns dtype and shape of each leaf by its path, such as `params/head/kernel: float32[16,64]`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def tree_sha256(tree: Any) -> str:
    """Returns the SHA-256 over path, dtype, shape and bytes (little-endian, row-major) of each leaf, sorted by path."""
    digest = hashlib.sha256()
    for (name, kind), leaf in sorted(zip(array_types(tree).items(), jax.tree.leaves(tree), strict=True), key=_name):
        values = np.asarray(leaf)
        digest.update(f"{name}: {kind}\n".encode())
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _name(entry: tuple[tuple[str, str], Any]) -> str:
    return entry[0][0]
