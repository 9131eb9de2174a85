"""`prepare` is killed: the same command reads again only what was not finished, and gives the same bytes."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections import Counter

import pytest

from ostinato.data.records import Dataset, DatasetError
from ostinato.music import midi
from tests.faults.command import INPUTS_PER_UNIT
from tests.midi_files import tune, write_tunes
from tests.prepare_process import content

pytestmark = pytest.mark.slow

NUM_TUNES = 32
MOMENTS_HERE, MOMENTS_AT_THE_END, MOMENTS_OF_WORKERS = 20, 9, 10
WORKERS = 2
PROCESSES = ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", f"--direct_num_workers={WORKERS}"]


@pytest.fixture(scope="module")
def tunes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tunes") / "midi"
    write_tunes(folder, NUM_TUNES - 2)
    (folder / "broken.mid").write_bytes(b"MThd")
    (folder / "copy.mid").write_bytes((folder / "tune-000.mid").read_bytes())
    return folder


def command(tunes, output, *more):
    return ["prepare", "--midi", tunes, "--output", output, "--num-shards", 3, "--parsers", 1, *more]


@pytest.fixture(scope="module")
def undisturbed(forker, tunes, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "music"
    ended = forker.run(*command(tunes, output), OSTINATO_READS=str(output.with_name("reads")))
    assert ended.code() == 0, ended.said
    assert set(reads(output.with_name("reads")).values()) == {1}
    return content(output)


def reads(notes):
    """Returns how often each file was opened."""
    return Counter(notes.read_text().splitlines()) if notes.exists() else Counter()


def with_descendants(pid):
    """Returns the processes that a process has started, and those that they have, the youngest first."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in listed.splitlines())
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[::-1]


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(600)
def test_a_prepare_that_is_killed_before_any_change_to_its_folder_reads_one_unit_again(
    forker, tunes, undisturbed, tmp_path
):
    """Killed before creations, renamings and removals of files, from the first to the last."""
    watched = tmp_path / "whole/music"
    watched.parent.mkdir()
    ended = forker.run(*command(tunes, watched), die_at=(str(watched), -1, signal.SIGKILL), OSTINATO_READS=os.devnull)
    assert ended.code() == 0, ended.said
    total = len(watched.with_name("music.touches").read_text().splitlines())
    for number in _moments(total, MOMENTS_HERE):
        output, notes = tmp_path / str(number) / "music", tmp_path / f"{number}.reads"
        output.parent.mkdir()
        noted = {"OSTINATO_READS": str(notes)}
        first = forker.run(*command(tunes, output), die_at=(str(output), number, signal.SIGKILL), **noted)
        # How far it is, is noted now and then: another time there are a few changes less, and the last is not reached.
        assert first.code() == -signal.SIGKILL or (first.code() == 0 and number > total - 5), first.said
        _assert_what_opens_is_whole(output.parent, undisturbed)
        if not output.exists() or (output / "work/job.json").exists():  # else at most an empty folder is left
            second = forker.run(*command(tunes, output), **noted)
            assert second.code() == 0, (number, second.said)
        output.with_name("music.touches").unlink()
        found = reads(notes)
        assert len(found) == NUM_TUNES
        assert found.total() <= NUM_TUNES + INPUTS_PER_UNIT, number
        assert content(output) == undisturbed, number
        assert os.listdir(output.parent) == ["music"]
        shutil.rmtree(output.parent)


def _assert_what_opens_is_whole(folder, undisturbed):
    for manifest in folder.rglob("manifest.json"):
        try:
            Dataset.open(manifest.parent)
        except DatasetError:
            continue
        assert {name: data for name, data in content(manifest.parent).items() if name in undisturbed} == undisturbed


def _moments(total, count):
    """Returns before which changes to die: so many all over, and each of the last, when the dataset gets its name."""
    spread = {1 + total * moment // count for moment in range(count)}
    return sorted(spread | set(range(total - MOMENTS_AT_THE_END, total + 1)))


@pytest.mark.timeout(600)
def test_a_prepare_that_adds_in_place_is_killed_and_the_dataset_is_the_old_or_the_new_one(forker, tunes, tmp_path):
    """Killed before changes to either folder; the same command goes on, and the result is as if undisturbed."""
    new = tmp_path / "new.mid"
    new.write_bytes(midi.write(tune(NUM_TUNES)))
    old, whole = tmp_path / "old/music", tmp_path / "whole/music"
    assert forker.run(*command(tunes, old, "--keep-scan")).code() == 0
    shutil.copytree(old, whole)
    add = ["prepare", "--add", "--midi", new, "--parsers", 1, "--output"]
    ended = forker.run(*add, whole, die_at=(str(whole), -1, signal.SIGKILL))
    assert ended.code() == 0, ended.said
    total = len(whole.with_name("music.touches").read_text().splitlines())
    before, after = content(old), content(whole)
    assert before["pieces.jsonl"].count(b"\n") + 1 == after["pieces.jsonl"].count(b"\n")
    seen = set()
    for number in _moments(total, MOMENTS_HERE // 2):
        output = tmp_path / str(number) / "music"
        shutil.copytree(old, output)
        first = forker.run(*add, output, die_at=(str(output), number, signal.SIGKILL))
        # How far it is, is noted now and then: another time there are a few changes less, and the last is not reached.
        assert first.code() == -signal.SIGKILL or (first.code() == 0 and number > total - 5), first.said
        found = {name: data for name, data in content(output).items() if not name.startswith("work/")}
        assert found in (before, after), number
        seen.add(found == after)
        second = forker.run(*add, output)
        assert second.code() == 0, (number, second.said)
        output.with_name("music.touches").unlink()
        assert content(output) == after, number
        assert os.listdir(output.parent) == ["music"]
        shutil.rmtree(output.parent)
    assert seen == {True, False}


@pytest.mark.timeout(600)
def test_a_prepare_of_several_processes_that_is_killed_reads_one_unit_of_each_again(
    forker, tunes, undisturbed, tmp_path
):
    for moment in range(MOMENTS_OF_WORKERS):
        output, notes = tmp_path / str(moment) / "music", tmp_path / f"{moment}.reads"
        noted = {"OSTINATO_READS": str(notes)}
        running = forker.start(*command(tunes, output, *PROCESSES), **noted)
        wanted = 1 + moment * (NUM_TUNES - 1) // MOMENTS_OF_WORKERS
        running.wait_until(lambda notes=notes, wanted=wanted: reads(notes).total() >= wanted)
        kill_all(with_descendants(running.pid))
        assert running.wait() == -signal.SIGKILL
        second = forker.run(*command(tunes, output, *PROCESSES), **noted)
        assert second.code() == 0, second.said
        found = reads(notes)
        assert len(found) == NUM_TUNES
        assert found.total() <= NUM_TUNES + WORKERS * INPUTS_PER_UNIT, moment
        assert content(output) == undisturbed, moment
