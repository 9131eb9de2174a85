"""Nobody but their owner reads the files of a study's answers, at any moment."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys

import pytest

from ostinato.configs.errors import UserError
from ostinato.listen.private import make_private, owner_only
from ostinato.listen.web.answers import Answers
from tests.listen.studies import make_study

NAMES = ["answers.sqlite", "answers.sqlite-shm", "answers.sqlite-wal"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("private") / "study", num_comparisons=1, num_ratings=1, is_heard=False)


@pytest.fixture(autouse=True)
def _everybody_may_read():
    """The usual umask, or a wider one."""
    before = os.umask(0)
    yield
    os.umask(before)


def _modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_all_three_files_are_private_from_the_first_answer_on_and_after_checkpoints(study, tmp_path):
    path = tmp_path / "answers.sqlite"
    answers = Answers.open(study, path)
    for _ in range(3):
        token, _ = answers.begin()
        assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
        answers.withdraw(token)  # which ends with a checkpoint
        assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
        other = Answers.open(study, path)  # as 'listen results' does while the server runs
        other.begin()
        other.close()
        assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
    answers.close()
    assert _modes(tmp_path) == {"answers.sqlite": 0o600}


def test_nothing_is_open_to_others_even_for_a_moment(study, tmp_path):
    """Each file is looked at when SQLite has just made it: as a hook on what opens files sees it."""
    code = f"""
import os, stat, sys
from pathlib import Path
os.umask(0)
from ostinato.listen.design.study import Study
from ostinato.listen.web.answers import Answers
folder = Path({str(tmp_path)!r})
study = Study.open({str(study.folder)!r})
def look(frame, event, argument):
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
sys.setprofile(look)
answers = Answers.open(study, folder / "answers.sqlite")
answers.begin()
sys.setprofile(None)
assert len(list(folder.iterdir())) == 3
os.kill(os.getpid(), 9)
"""
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr


def test_files_that_an_earlier_version_left_open_to_all_are_closed(study, tmp_path):
    path = tmp_path / "answers.sqlite"
    code = f"""
import os, sqlite3
os.umask(0o022)
db = sqlite3.connect({str(path)!r}, isolation_level=None)
db.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o644)
    answers = Answers.open(study, path)
    assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
    answers.begin()
    assert _modes(tmp_path) == dict.fromkeys(NAMES, 0o600)
    answers.close()
    with sqlite3.connect(path) as kept:
        assert kept.execute("SELECT a FROM t").fetchall() == [(1,)]
    kept.close()


def test_a_link_in_the_place_of_the_answers_is_refused_and_what_it_leads_to_left_alone(study, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "elsewhere").chmod(0o644)
    (tmp_path / "answers.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"answers\.sqlite: "):
        Answers.open(study, tmp_path / "answers.sqlite")
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o644


def test_the_mask_of_a_process_is_as_it_was_afterwards(tmp_path):
    with owner_only():
        (tmp_path / "inside").touch(mode=0o666)
    (tmp_path / "outside").touch(mode=0o666)
    make_private(tmp_path / "private")
    assert _modes(tmp_path) == {"inside": 0o600, "outside": 0o666, "private": 0o600}
