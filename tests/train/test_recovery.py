"""Which checkpoint a run resumes from when some are damaged."""

import logging
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from ostinato.train.checkpoint import Checkpoints
from ostinato.train.folders import CheckpointError, DamagedError
from ostinato.train.recovery import go_back, list_steps, set_aside
from tests.train.test_checkpoint import described, init, state

__all__ = ["init", "state"]


@pytest.fixture(scope="module")
def saved(state, dataset, config, tmp_path_factory):
    """A run with the checkpoints of steps 1, 2 and 3."""
    workdir = tmp_path_factory.mktemp("saved") / "run"
    with Checkpoints(workdir, keep=3) as checkpoints:
        for step in (1, 2, 3):
            now = state._replace(step=np.int32(step))
            checkpoints.save(now, described(config, dataset), validation_loss=4.0 - step)
    return workdir


@pytest.fixture
def run(saved, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(saved, tmp_path / "run")


def empty(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def zero(folder):
    for path in folder.rglob("params/**/d/*"):
        path.write_bytes(bytes(path.stat().st_size))


def flip(folder):
    for path in folder.rglob("params/**/d/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def forget_the_loss(folder):
    (folder / "metrics/metrics").unlink()


def test_a_run_that_is_whole_is_left_as_it_is_and_nothing_is_said(run, caplog, monkeypatch):
    go_back(run)
    monkeypatch.chdir(run.parent)
    go_back(Path(run.name))
    assert list_steps(run) == [1, 2, 3]
    assert not (run / "set-aside").exists()
    assert not caplog.messages


@pytest.mark.parametrize("damage", [empty, zero, flip, forget_the_loss])
def test_what_is_damaged_is_set_aside_until_the_newest_is_whole(run, caplog, damage):
    for step in (2, 3):
        damage(run / "checkpoints" / str(step))
    with caplog.at_level(logging.WARNING):
        go_back(run)
    assert list_steps(run) == [1]
    assert sorted(path.name for path in (run / "set-aside").iterdir()) == ["2", "3"]
    (line,) = caplog.messages
    assert line.startswith(
        f"{run}: resumes from step 1, the newest checkpoint that is whole; set aside: {run}/set-aside/3"
    )
    assert f"{run}/set-aside/2 (" in line


def test_one_that_cannot_say_its_loss_is_set_aside_also_when_a_newer_one_is_whole(run):
    """Orbax opens no folder with it."""
    empty(run / "checkpoints/1")
    go_back(run)
    assert list_steps(run) == [2, 3]
    with Checkpoints(run) as checkpoints:
        assert checkpoints.latest_step == 3


def test_one_that_was_renamed_is_not_that_of_its_name(run):
    (run / "checkpoints/3").rename(run / "checkpoints/9999")
    go_back(run)
    assert list_steps(run) == [1, 2]
    assert (run / "set-aside/9999").is_dir()


def test_where_none_is_whole_that_is_an_error_and_nothing_is_changed(run):
    for step in (1, 2, 3):
        empty(run / "checkpoints" / str(step))
    with pytest.raises(CheckpointError, match=r"no checkpoint is whole; copy the folder before") as caught:
        go_back(run)
    assert "delete" not in str(caught.value)
    assert list_steps(run) == [1, 2, 3]


def test_a_damaged_one_that_was_asked_for_is_an_error_and_nothing_is_changed(run):
    flip(run / "checkpoints/2")
    with pytest.raises(DamagedError, match=r"checkpoints/2: "):
        set_aside(run, after=2)
    assert list_steps(run) == [1, 2, 3]


def test_one_that_may_not_be_read_is_an_error_and_not_set_aside(run):
    """As where a network file system is away: the files may be whole."""
    (run / "checkpoints/3/run/metadata").unlink()
    os.mknod(run / "checkpoints/3/run/metadata", stat.S_IFSOCK | 0o600)  # opening it is an error: ENXIO
    with pytest.raises(CheckpointError, match=r"checkpoints/3: cannot be read \(OSError") as caught:
        go_back(run)
    assert not isinstance(caught.value, DamagedError)
    assert list_steps(run) == [1, 2, 3]
