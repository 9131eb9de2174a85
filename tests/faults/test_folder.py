"""The folder of a run: two runs at once, locks that nobody holds any more, full and read-only disks."""

import gc
import itertools
import json
import logging
import os
import socket
import subprocess
import time
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from ostinato.configs.errors import ExitCode
from ostinato.data.records import Dataset
from ostinato.train.checkpoint import Checkpoints
from ostinato.train.lock import run_lock
from ostinato.train.loop import train as train_here
from ostinato.train.recovery import list_steps
from ostinato.train.run_metadata import CheckpointError
from ostinato.train.runs import show
from ostinato.train.step import TrainState
from tests.faults.conftest import outcome, train
from tests.train.conftest import replace

pytestmark = pytest.mark.slow


@contextmanager
def mounted(folder):
    """A disk of two megabytes."""
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"cannot mount a small disk here ({mount.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk") as folder:
        yield folder


def leave_free(disk, num_bytes):
    """Fills a disk up, but for so many bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(bytes(free - num_bytes))


def save_and_close(checkpoints, state):
    with checkpoints:
        checkpoints.save(state, {}, validation_loss=1.0)


def assert_whole_lines(path):
    for line in path.read_text().splitlines(keepends=True):
        assert line.endswith("\n")
        json.loads(line)


def test_a_second_run_in_the_same_folder_is_refused(forker, data, tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    with run_lock(workdir):
        ended = forker.run(*train(data, workdir))
    assert ended.code() == 2
    assert f"{workdir}: process {os.getpid()} on {socket.gethostname()} trains in this folder" in ended.last_line
    assert not (workdir / "checkpoints").exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_whose_lock_is_removed_ends_with_a_line_and_another_may_go_on(forker, data, tmp_path, replaced):
    """At its next beat, also when the name is that of another file by then."""
    workdir = tmp_path / "run"
    some_time = ("--num-steps", 1000, "--evaluate-every", 1000, "--checkpoint-every", 100, "--peer-timeout-s", 6)
    running = forker.start(*train(data, workdir, *some_time))
    assert running.wait_until(lambda: list_steps(workdir)), running.said
    (workdir / "run.lock").unlink()
    if replaced:
        (workdir / "run.lock").touch()
    assert running.wait() == ExitCode.USAGE, running.said
    what = "is another file now" if replaced else "was removed"
    assert running.last_line.startswith(f"ostinato: {workdir / 'run.lock'}: {what}: ")
    saved = list_steps(workdir)[-1]
    again = forker.run(*train(data, workdir, "--num-steps", saved + 1, "--evaluate-every", 1000))
    assert again.code() == 0, again.said
    assert show(workdir)["step"] == saved + 1


def test_a_run_that_was_killed_under_an_earlier_version_is_resumed_at_once(forker, data, straight, tmp_path):
    """Its lock names a process of another host, and says that it beats."""
    workdir = tmp_path / "run"
    assert forker.run(*train(data, workdir, "--num-steps", 8)).code() == 0
    left = {"host": "elsewhere", "pid": 1, "started": "boot 5", "token": "t", "beat": 7}
    (workdir / "run.lock").write_text(json.dumps(left).ljust(511) + "\n")
    ended = forker.run(*train(data, workdir))
    assert ended.code() == 0, ended.said
    assert outcome(workdir) == outcome(straight)


@pytest.mark.parametrize("free", [12_000, 0])
def test_a_full_disk_harms_no_earlier_checkpoint(forker, data, straight, disk, free):
    """There is room for some lines of the log but for no checkpoint, or not for a single byte."""
    workdir = disk / "run"
    first = forker.run(*train(data, workdir, "--num-steps", 8))
    assert first.code() == 0, first.said
    leave_free(disk, free)
    second = forker.run(*train(data, workdir))
    assert second.code() == 2, second.said
    assert "Traceback" not in second.said
    assert second.last_line.startswith(f"ostinato: {workdir}")
    assert_whole_lines(workdir / "metrics.jsonl")
    assert show(workdir)["step"] >= 8
    (disk / "ballast").unlink()
    third = forker.run(*train(data, workdir))
    assert third.code() == 0, third.said
    assert outcome(workdir) == outcome(straight)


@pytest.mark.filterwarnings("default")
def test_whatever_does_not_fit_on_a_full_disk_a_checkpoint_has_one_error(tmp_path, caplog, capfd):
    """Also when several arrays fail, when the description does, and when what failed is closed."""
    caplog.set_level(logging.CRITICAL, "absl")  # as the command has it
    arrays = {f"layer {i}": jax.numpy.asarray(np.random.default_rng(i).normal(size=(64, 64))) for i in range(8)}
    state = TrainState(np.int32(7), arrays, arrays, {})
    for number, free in enumerate([0, 4_000, 12_000, 30_000, 60_000, 90_000] * 2):
        # Threads of Orbax may still be writing after the error: each time another disk.
        with mounted(tmp_path / str(number)) as disk:
            checkpoints = Checkpoints(disk)
            leave_free(disk, free)
            with pytest.raises(CheckpointError, match=f"{disk}/checkpoints: "):
                save_and_close(checkpoints, state)
        gc.collect()
    assert not caplog.records
    assert not capfd.readouterr().err


def test_a_folder_that_may_not_be_written_is_named(forker, data, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    ended = forker.run(*train(data, disk / "run"))
    assert ended.code() == 2
    assert ended.last_line == f"ostinato: {disk / 'run'}: Read-only file system"


def test_a_clock_that_jumps_changes_nothing(data, config, tmp_path, monkeypatch):
    """Some minutes ahead after three steps, and a week back after six, while checkpoints are written."""
    config = replace(config, checkpoint_every=1)
    train_here(config, Dataset.open(data), tmp_path / "steady")
    now, steps = time.time, itertools.count(1)
    offset_s = 0.0

    def jump():
        nonlocal offset_s
        offset_s = {4: 400.0, 7: -604_800.0}.get(next(steps), offset_s)
        return False

    monkeypatch.setattr(time, "time", lambda: now() + offset_s)
    train_here(config, Dataset.open(data), tmp_path / "jumping", should_stop=jump)
    assert outcome(tmp_path / "jumping") == outcome(tmp_path / "steady")
