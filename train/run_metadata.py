"""What a checkpoint says about its run in JSON: how it is written, read and compared, and what a run may change."""

import dataclasses
import fnmatch
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ostinato.configs.errors import Lines, UserError
from ostinato.configs.schema import TrainConfig
from ostinato.configs.values import with_values
from ostinato.configs.versions import package_version
from ostinato.data.mixture import Mixture, mixture_of, named
from ostinato.data.records import Dataset
from ostinato.train.folders import CheckpointError
from ostinato.train.music_heard import describe_music

PACKAGES = ("ostinato", "jax", "flax", "optax", "orbax-checkpoint", "numpy")
"""Their versions are written down, since they decide about the last digits."""

FORMAT = 2
"""The version of what a checkpoint holds. Those of format 1 are read, too: they lack history, devices, and the digests
of carry and description."""

MAY_CHANGE = (
    "num_epochs", "num_steps", "evaluate_every", "patience", "checkpoint_every", "keep_checkpoints", "log_every",
    "optimizer.*", "accumulate", "head_steps", "kernels", "skip_limit", "rollbacks", "rollback_factor",
    "peer_timeout_s",
)  # fmt: skip
"""The settings that may be changed when a run is resumed; each change is kept in its history."""


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
    skipped: int = 0
    """Steps whose loss or gradient was not a number."""
    skipped_in_row: int = 0
    rollbacks: int = 0
    """Times that the run was rolled back to a checkpoint because it was unstable."""
    learning_rate_factor: float = 1.0
    """What the learning rate of the configuration is multiplied by, since the run was rolled back."""

    def evaluated(self, step: int, loss: float, *, is_best: bool = False) -> "Progress":
        """Returns the progress after a measurement. Of equal losses the later one is the best.

        `is_best`: the run is not measured by its loss, so that the latest is the best.
        """
        better = is_best or self.best_loss is None or loss < self.best_loss
        is_best = better or loss == self.best_loss
        return self._replace(
            last_loss=loss,
            best_step=step if is_best else self.best_step,
            best_loss=loss if is_best else self.best_loss,
            evaluations_without_gain=0 if better else self.evaluations_without_gain + 1,
        )

    def exhausted(self, patience: int) -> bool:
        return patience > 0 and self.evaluations_without_gain >= patience


def describe_run(config: TrainConfig, data: Dataset | Mixture) -> dict[str, Any]:
    """Returns what every checkpoint of a run holds about it. `history` is empty: the run is new."""
    mixture = mixture_of(data)
    old = [part.dataset for part in mixture.parts if part.is_old]
    mixed = [part.dataset for part in mixture.parts if not part.is_old]
    return {
        "format": FORMAT,
        "config": dataclasses.asdict(config),
        "codec": mixture.codec.to_json(),
        "dataset": named(mixture.first),
        **({"mixture": mixture.to_json()} if len(mixed) > 1 else {}),
        "music": describe_music(*mixed),
        "versions": {package: package_version(package) for package in PACKAGES},
        "devices": {
            "platform": jax.default_backend(),
            "devices": jax.device_count(),
            "processes": jax.process_count(),
        },
        "made_from": [dict(one) for one in mixture.first.manifest.get("made_from", [])],
        "pieces": {split: found["pieces"] for split, found in mixture.first.manifest["splits"].items()},
        "old_dataset": named(old[0]) if old else None,
        "init_from": None,
        "rows_at_once": None,
        "kernel": None,
        "history": [],
    }


def resumed_run(
    saved: dict[str, Any], now: dict[str, Any], workdir: Path, *, by_hand: bool, accept_dataset: bool = False
) -> dict[str, Any]:
    """Returns the description of a run that is resumed: what is said now, and what a checkpoint remembers.

    Args:
        saved: the description in the checkpoint.
        now: what `describe_run` says.
        workdir: the folder of the run.
        by_hand: the user has chosen the checkpoint.
        accept_dataset: the dataset may be one that was made from the run's own (`prepare --from`).

    Raises:
        CheckpointError: network, data, codec or seed are others.
    """
    changes = check_same_run(saved, now, workdir, accept_dataset=accept_dataset)
    history, step = saved.get("history", []), saved["progress"]["step"]
    if changes or by_hand:
        entry = {"step": step, "event": "resumed", **({"by_hand": True} if by_hand else {}), "changes": changes}
        history = [*history, entry]
    return {
        **now,
        "init_from": saved.get("init_from"),
        "rows_at_once": None if "accumulate" in changes else saved.get("rows_at_once"),  # the user has a new opinion
        "history": history,
    }


def config_from_json(values: dict[str, Any], *, where: str = "the configuration") -> TrainConfig:
    """Returns the configuration that `dataclasses.asdict` turned into JSON; `where` begins a message.

    Raises:
        CheckpointError: it has a field that this version does not know, or a value that it refuses.
    """
    try:
        return with_values(TrainConfig(), values)
    except UserError as error:
        problem = ascii(str(error))[1:-1][:200]
        raise CheckpointError(f"{where}: was written by another version of ostinato ({problem})") from error


def as_then(config: TrainConfig, saved: dict[str, Any]) -> TrainConfig:
    """Returns the configuration with the defaults of what the saved one, of an earlier version, did not know yet.

    Presets move on: an old run stays what it was when the same command resumes it.
    """
    parts = {}
    for name in ("model", "data", "optimizer"):
        part = getattr(config, name)
        unknown = {field.name: field.default for field in dataclasses.fields(part) if field.name not in saved[name]}
        parts[name] = dataclasses.replace(part, **unknown)
    return dataclasses.replace(config, **parts)


def check_same_run(
    saved: dict[str, Any], now: dict[str, Any], workdir: Path, *, accept_dataset: bool = False
) -> dict[str, list[Any]]:
    """Refuses to resume a run whose network, data, codec or seed is another; see `resumed_run`.

    Returns:
        What is different and may be, as [before, now] by dotted name: settings of MAY_CHANGE, versions, and devices.

    Raises:
        CheckpointError: with a line for each value that may not differ.
    """
    found, wanted = _flat(_numbers_of(saved)), _flat(_numbers_of(now))
    if not saved["dataset"]["fingerprint"]:  # imported: the first dataset it is trained on becomes its own
        found, wanted = (
            {name: value for name, value in side.items() if name.split(".")[0] not in ("dataset", "mixture")}
            for side in (found, wanted)
        )
    differing = {name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)}
    allowed = {name for name in differing if any(fnmatch.fnmatchcase(name, pattern) for pattern in MAY_CHANGE)}
    if differing - allowed == {"dataset"}:
        earlier = [one for one in now.get("made_from", []) if one["fingerprint"] == saved["dataset"]["fingerprint"]]
        if earlier and not accept_dataset:
            before, after, step = earlier[-1]["pieces"], now["pieces"], saved["progress"]["step"]
            counts = ", ".join(f"{split} {before.get(split, 0)}, now {after.get(split, 0)}" for split in after)
            raise CheckpointError(
                f"{workdir}: the dataset was made from the one that this run was trained on (pieces: {counts}), and no "
                f"piece has changed its split; --accept-dataset resumes with it, in its order from step {step} on"
            )
        allowed |= {"dataset"} if earlier else set()
    if refused := differing - allowed:
        found, wanted = ({name: value for name, value in side.items() if name in refused} for side in (found, wanted))
        head = f"{workdir}: this run was started differently; choose another --workdir or the same settings:"
        raise CheckpointError(differences(head, found, wanted))
    changes = {name: [json.loads(found.get(name, "null")), json.loads(wanted.get(name, "null"))] for name in allowed}
    for part in ("versions", "devices"):
        before = saved.get(part, now[part])
        changes |= {
            f"{part}.{name}": [before.get(name), value]
            for name, value in now[part].items()
            if before.get(name) != value
        }
    return dict(sorted(changes.items()))


def _numbers_of(run: dict[str, Any]) -> dict[str, Any]:
    """Returns what decides about the numbers of a run."""
    # What a run did not know yet has its default, which stands for what was done before there was a choice.
    config, defaults = run["config"], dataclasses.asdict(TrainConfig())
    whole = {
        name: {**default, **config.get(name, {})} if isinstance(default, dict) else config.get(name, default)
        for name, default in defaults.items()
    }
    unknown = {name: value for name, value in config.items() if name not in defaults}
    old = run.get("old_dataset") or {"fingerprint": None}
    data: dict[str, Any] = {"dataset": run["dataset"]["fingerprint"], "old_dataset": old["fingerprint"]}
    for number, part in enumerate((run.get("mixture") or {"datasets": []})["datasets"], start=1):
        data[f"mixture.{number}"] = {"fingerprint": part["fingerprint"], "share": part["share"]}
    return {**whole, **unknown, "codec": run["codec"], **data}


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Returns the leaves of nested dictionaries by dotted path."""
    if not isinstance(value, dict):
        return {path: json.dumps(value)}
    parts = [_flat(part, f"{path}.{key}" if path else key) for key, part in value.items()]
    return {name: leaf for part in parts for name, leaf in part.items()}


def differences(head: str, found: dict[str, str], wanted: dict[str, str], *, place: str = "checkpoint") -> Lines:
    """Returns a message: below its head a line for each name whose value is not the same in both."""

    def short(value: str | None) -> str:
        return "nothing" if value is None else value if len(value) <= 60 else f"{value[:57]}..."

    differing = (name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name))
    return Lines.of(
        head,
        *(f"  {name}: {short(found.get(name))} in the {place}, {short(wanted.get(name))} now" for name in differing),
    )
