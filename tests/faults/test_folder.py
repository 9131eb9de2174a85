"""The folder of a run: two runs at once, locks that nobody holds any more, full and read-only disks."""

import gc
import itertools
import json
import logging
import os
import socket
import subprocess
import time
from contextlib import closing, contextmanager

import jax
import numpy as np
import pytest

from ostinato.data.records import Dataset
from ostinato.train.checkpoint import Checkpoints
from ostinato.train.lock import FILE, Holder, LockedError, RunLock, holder_of
from ostinato.train.loop import train as train_here
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
    with closing(RunLock(workdir)):
        ended = forker.run(*train(data, workdir))
    assert ended.code() == 2
    assert f"{workdir}: process {os.getpid()} on {socket.gethostname()} trains in this folder" in ended.last_line
    assert not (workdir / "checkpoints").exists()


def test_the_lock_of_a_process_of_another_host_that_is_gone_is_taken_over(tmp_path):
    (tmp_path / FILE).write_text(json.dumps(Holder("elsewhere", 1, "boot 5", "token", 7)._asdict()))
    naps = []
    with closing(RunLock(tmp_path, sleep=naps.append)):
        assert holder_of(tmp_path).pid == os.getpid()
    assert len(naps) == 3  # it was watched for three beats first
    assert holder_of(tmp_path) is None


def test_a_run_on_another_host_that_is_alive_is_not_disturbed(tmp_path):
    """The file system does not pass flock on: only the count tells that the holder lives."""
    beats = itertools.count(8)

    def write(beat):
        (tmp_path / FILE).write_text(json.dumps(Holder("elsewhere", 1, "boot 5", "token", beat)._asdict()))

    write(7)
    with pytest.raises(LockedError, match="process 1 on elsewhere trains in this folder"):
        RunLock(tmp_path, sleep=lambda _: write(next(beats)))


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path):
    with closing(RunLock(tmp_path)):
        holder = holder_of(tmp_path)
    boot = holder.started.split()[0]
    (tmp_path / FILE).write_text(json.dumps(holder._replace(started=f"{boot} 1")._asdict()))
    with closing(RunLock(tmp_path, sleep=lambda _: pytest.fail("nothing to wait for: it was on this machine"))):
        assert holder_of(tmp_path).started == holder.started


def test_a_full_disk_harms_no_earlier_checkpoint(forker, data, straight, disk):
    workdir = disk / "run"
    first = forker.run(*train(data, workdir, "--num-steps", 8))
    assert first.code() == 0, first.said
    leave_free(disk, 12_000)  # for some lines of the log, not for a checkpoint
    second = forker.run(*train(data, workdir))
    assert second.code() == 2, second.said
    assert "Traceback" not in second.said
    assert second.last_line.startswith(f"ostinato: {workdir}")
    assert_whole_lines(workdir / "metrics.jsonl")
    step = show(workdir)["step"]
    assert step >= 8
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
    for number, free in enumerate([0, 4_000, 12_000, 30_000, 60_000, 90_000] * 4):
        # Threads of Orbax may still be writing after the error: each time another disk.
        with mounted(tmp_path / str(number)) as disk:
            checkpoints = Checkpoints(disk)
            leave_free(disk, free)
            with pytest.raises(CheckpointError, match=f"{disk}/checkpoints: "):
                save_and_close(checkpoints, state)
        gc.collect()
    assert not caplog.records
    assert not capfd.readouterr().err


def test_a_disk_without_a_single_byte_is_named(forker, data, straight, disk):
    workdir = disk / "run"
    first = forker.run(*train(data, workdir, "--num-steps", 8))
    assert first.code() == 0, first.said
    leave_free(disk, 0)
    second = forker.run(*train(data, workdir))
    assert second.code() == 2, second.said
    assert str(workdir) in second.last_line
    assert_whole_lines(workdir / "metrics.jsonl")
    (disk / "ballast").unlink()
    assert forker.run(*train(data, workdir)).code() == 0
    assert outcome(workdir) == outcome(straight)


def test_a_folder_that_may_not_be_written_is_named(forker, data, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    ended = forker.run(*train(data, disk / "run"))
    assert ended.code() == 2
    assert ended.last_line == f"ostinato: [Errno 30] Read-only file system: '{disk / 'run'}'"


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
