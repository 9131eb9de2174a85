"""One run in one folder: the kernel's lock decides, not what the file says."""

import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys

import pytest

from ostinato.configs.errors import UserError
from ostinato.train.lock import FILE, LockedError, holder, is_locked, run_lock

HOLD = """
import sys, time
from pathlib import Path
from ostinato.train.lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
OF_AN_EARLIER_VERSION = {"host": "elsewhere", "pid": 1, "started": "boot 5", "token": "t", "beat": 7}


@pytest.fixture
def no_proc(monkeypatch):
    """As off Linux: whoever opens a file in /proc fails."""

    def refuse(event, arguments):
        if active and event == "open" and str(arguments[0]).startswith("/proc"):
            pytest.fail(f"{arguments[0]} was opened")

    active = [True]
    sys.addaudithook(refuse)  # cannot be taken away again
    yield
    active.clear()


@pytest.mark.usefixtures("no_proc")
def test_a_live_holder_is_named_and_a_killed_one_is_succeeded_also_without_proc(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        name = f"process {process.pid} on {socket.gethostname()}"
        with pytest.raises(LockedError, match=f"{tmp_path}: {name} trains in this folder"), run_lock(tmp_path):
            pass
        assert is_locked(tmp_path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not is_locked(tmp_path)
    assert holder(tmp_path) == name  # it died with it
    with run_lock(tmp_path):
        assert is_locked(tmp_path)
        assert holder(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"
    assert holder(tmp_path) is None


@pytest.mark.parametrize("left", [json.dumps(OF_AN_EARLIER_VERSION).ljust(511) + "\n", '{"host": "a', ""])
def test_what_others_left_in_the_file_does_no_harm(tmp_path, left):
    (tmp_path / FILE).write_text(left)
    with run_lock(tmp_path):
        assert json.loads((tmp_path / FILE).read_text()) == {"host": socket.gethostname(), "pid": os.getpid()}


def test_a_file_system_without_flock_is_trained_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING), run_lock(tmp_path):
        assert not is_locked(tmp_path)
    assert caplog.messages == [f"{tmp_path}: cannot be locked (No locks available); start no second run in it"]


def test_a_lock_whose_file_is_removed_or_replaced_is_lost(tmp_path):
    path = tmp_path / FILE
    with run_lock(tmp_path) as lost:
        assert lost() is None
        path.rename(tmp_path / "kept")
        assert (
            lost() == f"{path}: was removed: a second run could begin in the folder; this one ends, and its "
            "checkpoints stay as they are"
        )
        path.write_text("")
        assert str(lost()).startswith(f"{path}: is another file now: a second run may be at work in the folder; ")
        (tmp_path / "kept").rename(path)
        assert lost() is None


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(UserError, match=f"{tmp_path / FILE}: Is a directory"), run_lock(tmp_path):
        pass
