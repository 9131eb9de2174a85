"""How far a job is: for whoever started it, for Beam, and for others who only see the folder."""

import dataclasses
import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from ostinato.beam_pipelines import prepare as prepare_module
from ostinato.beam_pipelines import progress, work
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.sources import find_units
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.pipeline import SUMMARY, build
from ostinato.beam_pipelines.prepare import prepare
from ostinato.beam_pipelines.progress import Progress, StatusError, read_status, watched
from ostinato.beam_pipelines.runners import open_pipeline
from ostinato.configs.preparation import PrepareConfig
from tests.midi_files import write_tunes

CONFIG = PrepareConfig(min_notes=16)
IN_MEMORY = ["--runner=FnApiRunner"]


def a_job(folder, **changes):
    return Job(**{
        "config": CONFIG, "folder": str(folder), "work": f"{folder}/work", "name": "out", "labels": "",
        "num_parsers": 1, "beam_args": tuple(IN_MEMORY), **changes,
    })  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now_s = 1000.0

        def time(self):
            return self.now_s

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_the_numbers_of_the_progress_are_beams_metrics_too(tmp_path):
    write_tunes(tmp_path / "midi", 6)
    (tmp_path / "midi/broken.mid").write_bytes(b"MThd")
    job, seen = a_job(tmp_path / "out"), []
    units = find_units([str(tmp_path / "midi")])
    with watched(job, 7, seen.append), open_pipeline(job.beam_args) as pipeline:
        build(pipeline, work.begin(job, units, inputs_per_unit=4), job)
    found = pipeline.result.metrics().query()["counters"]
    counts = {one.key.metric.name: one.committed for one in found if one.key.metric.namespace == "prepare"}
    last = seen[-1]
    numbers = {"inputs": last.inputs, "rejected": last.rejected, "notes": last.notes, "shards": last.shards}
    assert numbers == {"inputs": 7, "rejected": 1, "notes": counts["notes"], "shards": last.num_shards}
    assert {name: counts[name] for name in numbers} == numbers
    assert counts["found"] == counts["written"] == 6
    assert (seen[0].stage, last.stage) == ("reading", "describing")


def test_others_see_what_a_job_does_while_it_works_and_when_it_has_finished(tmp_path):
    paths = write_tunes(tmp_path / "midi", 5)
    output, seen = str(tmp_path / "out"), []
    with pytest.raises(StatusError, match=r"out: no dataset, and no prepare that has begun to write one"):
        read_status(output)
    prepare(
        [str(tmp_path / "midi")], output, CONFIG, IN_MEMORY, watch=lambda one: seen.append((one, read_status(output)))
    )
    assert all(is_alive and there.total == 5 for _, (there, is_alive) in seen)
    assert {there.stage for _, (there, _) in seen} >= {"reading", "describing"}
    last, (there, _) = seen[-1]
    assert all(getattr(there, name) == getattr(last, name) for name in ("stage", "inputs", "notes", "shards"))
    assert seen[0][1][0].reading == [] or set(seen[0][1][0].reading) <= set(map(str, paths))
    finished, is_alive = read_status(output + "/")
    assert (finished.stage, finished.inputs, finished.shards, finished.notes) == ("finished", 5, 3, last.notes)
    assert not is_alive


def test_a_job_that_describes_its_dataset_in_a_store_is_heard_all_the_while(tmp_path, monkeypatch):
    write_tunes(tmp_path / "midi", 5)
    output = "memory://heard/out"
    monkeypatch.setattr(progress, "REMOTE_PERIOD_S", 0.01)
    monkeypatch.setattr(progress, "NOTE_PERIOD_S", 0.01)

    def describe_at_length(*arguments):
        began, _ = read_status(output)
        wait_until(lambda: read_status(output)[0].time_s > began.time_s)
        finish(*arguments)

    finish = prepare_module.finish
    monkeypatch.setattr(prepare_module, "finish", describe_at_length)
    prepare([str(tmp_path / "midi")], output, CONFIG, IN_MEMORY)
    assert files.list_files("memory://heard/out.partial") == []
    assert read_status(output)[0].stage == "finished"


def wait_until(condition, limit_s=120):
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_what_workers_read_is_told_the_latest_first(tmp_path):
    job = a_job(tmp_path)
    for name, time_s in (("a.tar", 1e12), ("b.tar", 2e12), ("long ago.tar", 5)):
        job.write_note("reading", name, {"path": name, "time_s": time_s})
    job.note_reading("now\x1b.tar")
    seen = []
    with watched(job, None, seen.append):
        pass
    assert seen[0].reading == ["b.tar", "a.tar", "now\\x1b.tar"]


def test_rates_are_those_of_what_this_command_has_read_and_lately(tmp_path, clock):
    job = a_job(tmp_path)
    observer = progress._Observer(job, 10_000)

    def at(now_s, **notes):
        clock.now_s = now_s
        for stage, note in notes.items():
            job.write_note(stage, SUMMARY if stage == "assigned" else str(now_s), note)
        found = observer.look()
        observer.leave_note(found)
        return found.stage, found.inputs_per_s, found.notes_per_s, found.left_s

    assert at(1000, scanned={"inputs": 4000, "rejected": 0, "notes": 0}) == (
        "reading",
        None,
        None,
        None,
    )  # an earlier one
    assert at(1010, scanned={"inputs": 100, "rejected": 5, "notes": 9000}) == ("reading", 10.0, 900.0, 590.0)
    assert at(1100, scanned={"inputs": 900, "rejected": 5, "notes": 0}) == ("reading", 10.0, 90.0, 500.0)
    assert at(1320, scanned={"inputs": 4000, "rejected": 5, "notes": 0}) == ("reading", 18.181818181818183, 0.0, 55.0)
    assert at(1330, scanned={"inputs": 1000, "rejected": 5, "notes": 0})[0] == "grouping"
    assert at(1340, assigned={"shards": 4, "inputs": 10_000}) == ("writing", None, None, None)
    assert at(1350, written={}) == ("writing", 0.0, 0.0, 30.0)


@pytest.mark.parametrize("folder", ["local", "memory://status"])
def test_a_job_is_alive_where_its_note_is_fresh_or_its_folder_locked(tmp_path, folder, clock):
    output = str(tmp_path / "out") if folder == "local" else f"{folder}/out"
    work = files.join(output + ".partial", *(["work"] if folder == "local" else []))
    note = dataclasses.asdict(Progress(inputs=3, total=9, time_s=1000.0))
    files.write_bytes(files.join(work, "progress", "job.json"), json.dumps({**note, "of a later version": 1}).encode())
    clock.now_s = 1030.0
    assert read_status(output) == (Progress(inputs=3, total=9, time_s=1000.0), True)
    clock.now_s = 1100.0
    assert read_status(output)[1] is False
    if folder == "local":
        lock = os.open(Path(output + ".partial"), os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_status(output)[1] is True
        os.close(lock)
    files.write_bytes(files.join(work, "progress", "job.json"), json.dumps({**note, "inputs": "x"}).encode())
    with pytest.raises(StatusError, match=r"job\.json: damaged \(inputs: expected"):
        read_status(output)
