"""Trackers of others, which hear the numbers of a run beside its files: `ostinato train --track wandb mlflow`.

A run is one run there too, however often it is resumed: trackers.json in its folder remembers what it is called. Where
the numbers go the variables of each tracker say (WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI and so on). One that
fails is left out with a warning; training goes on.
"""

import json
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from ostinato.configs.documents import read_document
from ostinato.configs.errors import UserError
from ostinato.configs.run_file import TrackerName
from ostinato.data.atomic import write_atomically
from ostinato.train.metrics import RunTracker, Split, Tracker

logger = logging.getLogger(__name__)

NAMES = "trackers.json"
PROJECT = "ostinato"


def open_trackers(
    workdir: Path, *, first_step: int, names: Sequence[TrackerName] = (), settings: Mapping[str, Any] | None = None
) -> Tracker:
    """Returns the tracker of this process: that of all but the first does nothing.

    Args:
        workdir: the folder of the run.
        first_step: updates done before; -1 for a new run.
        names: those of others that hear of it, beside metrics.jsonl and TensorBoard.
        settings: of the run, for them.

    Raises:
        UserError: the folder cannot be written to, or a tracker does not let itself be opened.
    """
    if jax.process_index() != 0:
        return Tracker()
    ours = RunTracker(workdir, first_step=first_step)
    if not names:
        return ours
    try:
        return _Together(ours, {name: _open(name, workdir, settings or {}) for name in names})
    except BaseException:
        ours.close()
        raise


def trackers_of(workdir: Path) -> list[TrackerName]:
    """Returns the trackers that have heard of a run, in the order in which they were named.

    Raises:
        UserError: the file that remembers them is damaged, or names another.
    """
    return [*_known(workdir)]


class WandbTracker(Tracker):
    """Weights & Biases. It keeps what it was told first of a step, and drops what a resumed run says once more."""

    def __init__(self, workdir: Path, settings: Mapping[str, Any], run_id: str | None) -> None:
        """Begins a run, or resumes that of an id."""
        import wandb  # pyright: ignore[reportMissingImports]  # an extra

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=workdir.resolve().name,
            id=run_id,
            resume="allow",
            config=dict(settings),
            dir=workdir,
            settings=wandb.Settings(console="off"),
        )
        self.run_id: str = self._run.id

    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        self._run.log({f"{split}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


class MlflowTracker(Tracker):
    """MLflow."""

    def __init__(self, workdir: Path, settings: Mapping[str, Any], run_id: str | None) -> None:
        """Begins a run, or resumes that of an id."""
        from mlflow.entities import Param  # pyright: ignore[reportMissingImports]  # an extra
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]  # an extra

        self._client = MlflowClient()
        if run_id is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            found = self._client.get_experiment_by_name(name)
            experiment = self._client.create_experiment(name) if found is None else found.experiment_id
            run_id = self._client.create_run(experiment, run_name=workdir.resolve().name).info.run_id
            params = [Param(key, str(value)) for key, value in _flat(settings).items()]
            self._client.log_batch(run_id, params=params)
        self._client.update_run(run_id, status="RUNNING")
        self.run_id: str = str(run_id)

    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]  # an extra

        now_ms = round(1000 * time.time())
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        metrics = [Metric(f"{split}/{name}", float(value), now_ms, step) for name, value in finite.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self.run_id)


_KINDS: dict[TrackerName, type[WandbTracker] | type[MlflowTracker]] = {"wandb": WandbTracker, "mlflow": MlflowTracker}


class _Together(Tracker):
    """The files of a run, and others that hear the same."""

    def __init__(self, ours: RunTracker, others: dict[str, Tracker]) -> None:
        self._ours, self._others = ours, others

    def write(self, step: int, split: Split, values: dict[str, float]) -> None:
        self._ours.write(step, split, values)
        self._tell("write", step, split, values)

    def event(self, step: int, kind: str, **values: Any) -> None:
        self._ours.event(step, kind, **values)

    def close(self) -> None:
        self._tell("close")
        self._ours.close()

    def _tell(self, method: str, *arguments: Any) -> None:
        for name, tracker in list(self._others.items()):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # whatever a server or its library raises
                del self._others[name]
                logger.warning("--track %s: it fails (%s) and hears no more of this run", name, error)


def _open(name: TrackerName, workdir: Path, settings: Mapping[str, Any]) -> Tracker:
    """Opens a tracker, and remembers what the run is called there."""
    known = _known(workdir)
    try:
        tracker = _KINDS[name](workdir, settings, known.get(name))
    except Exception as error:  # whatever a server or its library raises
        raise UserError(f"--track {name}: cannot be opened ({error})") from error
    if known.get(name) != tracker.run_id:
        write_atomically(workdir / NAMES, json.dumps({**known, name: tracker.run_id}).encode())
    return tracker


def _known(workdir: Path) -> dict[TrackerName, str]:
    """Returns what the run is called by each tracker that has heard of it."""
    file = workdir / NAMES
    return read_document(file, dict[TrackerName, str]) if file.is_file() else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
