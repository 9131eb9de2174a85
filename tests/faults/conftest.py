"""A tiny dataset, a command that starts at once, and a run that nothing has disturbed."""

import json
from pathlib import Path

import pytest

from ostinato.train.runs import show
from tests.faults.command import TINY, Forker
from tests.train.conftest import TRAIN_LENGTHS, VALIDATION_LENGTHS, config, make_dataset

__all__ = ["config"]

STEPS = ["--num-steps", "24", "--evaluate-every", "8", "--checkpoint-every", "3"]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The folder of a dataset."""
    folder = tmp_path_factory.mktemp("faults") / "notes"
    make_dataset(folder, TRAIN_LENGTHS, VALIDATION_LENGTHS)
    return folder


@pytest.fixture(scope="session")
def forker(tmp_path_factory):
    forker = Forker(tmp_path_factory.mktemp("forker"))
    yield forker
    forker.close()


@pytest.fixture(scope="session")
def straight(forker, data, tmp_path_factory):
    """The folder of a run that went from the first step to the last."""
    workdir = tmp_path_factory.mktemp("straight") / "run"
    ended = forker.run(*train(data, workdir))
    assert ended.wait() == 0, ended.said
    return workdir


def train(data: Path, workdir: Path, *more: object) -> list[object]:
    """Returns the arguments that train the tiny model."""
    return ["train", "--dataset", data, "--workdir", workdir, *TINY, *STEPS, *more]


def outcome(workdir: Path) -> tuple:
    """Returns all that a run has computed: digests, and the metrics without what the clock says."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: value for name, value in record.items() if not name.endswith("_s")} for record in records]
    shown = show(workdir)
    return shown["step"], shown["params_sha256"], shown["best_params_sha256"], metrics


def steps_done(workdir: Path) -> int:
    """Returns the number of lines of a run's log, which has one for each step."""
    log = workdir / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def flip(path: Path, offset: int) -> None:
    """Flips a bit of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)
