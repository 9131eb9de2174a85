"""What the command `ostinato prepare` does when it is killed, the disk is full, or files vanish under it."""

import json
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from ostinato.beam_pipelines.parse import parse
from ostinato.beam_pipelines.spool import encode_prints
from ostinato.configs.preparation import PrepareConfig
from ostinato.data.records import Dataset, DatasetError
from ostinato.music import midi
from tests.midi_files import tune, write_tunes
from tests.prepare_process import COMMAND, DEADLINE_S, assert_no_orphans, children, content, end, run, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

STAGES = ("started", "scanning", "assigning", "writing", "finishing")
"""Put into the folder of a job that was killed, to see when the next one begins."""

# Root may do everything; without these two capabilities it has to ask like anybody else.
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_RESOURCE = 24, 1, 2, 24
AS_ANYBODY = f"""
import ctypes, os, sys
for capability in ({CAP_DAC_OVERRIDE}, {CAP_DAC_READ_SEARCH}):
    ctypes.CDLL(None).prctl({PR_CAPBSET_DROP}, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""

# As on a node of a batch system: hard limits that the job cannot raise.
IN_A_BATCH = f"""
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (500, 500))
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
ctypes.CDLL(None).prctl({PR_CAPBSET_DROP}, {CAP_SYS_RESOURCE}, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def _wait_until(condition, process):
    """Waits until something is so, or the process has ended."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition() and process.poll() is None:
        assert time.monotonic() < end_s
        time.sleep(0.002)


def _stage(partial):
    """Returns how far a job is, as an index of STAGES; -1 before it has begun to write."""
    if not partial.is_dir():
        return -1
    notes = [partial / "work" / name for name in ("scanned", "assigned", "written", "described")]
    return sum(1 for folder in notes if any(folder.glob("*")))


def _assert_nothing_looks_finished(output):
    assert not output.exists()
    for folder in output.parent.rglob("*"):
        if folder.is_dir():
            with pytest.raises(DatasetError):
                Dataset.open(folder)


def _counts(output):
    manifest = json.loads((output / "manifest.json").read_text())
    counts = manifest["counts"]
    assert counts["inputs"] == counts["accepted"] + counts["rejected"] + counts["duplicates"]
    rejects = [json.loads(line) for line in (output / "rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == counts["rejected"]
    return counts, rejects


def _many_tunes(folder, count):
    """Writes tunes that are long enough for a job to take a while."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04d}.mid").write_bytes(midi.write(tune(number, num_notes=300)))
    return folder


@pytest.fixture(scope="module")
def midi_folder(tmp_path_factory):
    return _many_tunes(tmp_path_factory.mktemp("tunes") / "midi", 300)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def _leave_free(disk, num_bytes):
    """Fills a disk up to the last `num_bytes`."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(bytes(free - num_bytes))


def _assert_ctrl_c_is_heard(midi_folder, output, stage):
    with started("--midi", midi_folder, "--output", output) as process:
        _wait_until(lambda: _stage(output.with_name("out.partial")) >= STAGES.index(stage), process)
        process.send_signal(signal.SIGINT)
        ended = end(process)
        assert_no_orphans(process)
    assert ended.code == 130
    assert ended.last_words == "interrupted; give the same command again"
    _assert_nothing_looks_finished(output)


def test_ctrl_c_ends_the_job_in_one_line_and_leaves_no_process(midi_folder, tmp_path):
    _assert_ctrl_c_is_heard(midi_folder, tmp_path / "out", "scanning")


def test_hard_limits_of_a_batch_system_cost_no_file(tmp_path):
    write_tunes(tmp_path / "midi", 4)
    command = [sys.executable, "-c", IN_A_BATCH, *COMMAND]
    ended = run("--midi", tmp_path / "midi", "--output", tmp_path / "out", command=command)
    assert ended.code == 0, ended.complaints
    assert _counts(tmp_path / "out")[0]["accepted"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_is_heard_in_every_stage(midi_folder, tmp_path, stage):
    _assert_ctrl_c_is_heard(midi_folder, tmp_path / "out", stage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["started", "scanning"])
def test_killed_it_leaves_no_process_and_nothing_that_looks_finished(midi_folder, tmp_path, stage):
    """Later stages, and that the same command goes on: tests/faults/test_prepare_goes_on.py."""
    output = tmp_path / "music"
    with started("--midi", midi_folder, "--output", output) as process:
        _wait_until(lambda: _stage(output.with_name("music.partial")) >= STAGES.index(stage), process)
        process.kill()
        assert end(process).code == -signal.SIGKILL
        assert_no_orphans(process)
    _assert_nothing_looks_finished(output)


@pytest.mark.slow
def test_parsers_that_are_killed_from_outside_are_replaced_and_cost_nothing(tmp_path):
    folder = _many_tunes(tmp_path / "midi", 1_500)  # two units
    arguments = ("--midi", folder, "--parsers", 2, "--num-shards", 4, "--output")
    assert run(*arguments, tmp_path / "undisturbed/music").code == 0
    work = tmp_path / "killed/music.partial/work"
    with started(*arguments, tmp_path / "killed/music") as process:
        for stage in ("scanned", "written"):
            _wait_until(lambda stage=stage: any((work / stage).glob("*.json")), process)
            parsers = children(process)
            assert parsers
            for parser in parsers:
                os.kill(parser, signal.SIGKILL)
        assert end(process).code == 0
    assert content(tmp_path / "killed/music") == content(tmp_path / "undisturbed/music")


@pytest.mark.slow
def test_files_that_vanish_while_the_job_runs_are_rejected(tmp_path):
    folder = _many_tunes(tmp_path / "midi", 2_500)
    scanned = tmp_path / "out.partial/work/scanned"
    with started("--midi", folder, "--output", tmp_path / "out") as process:
        _wait_until(lambda: any(scanned.glob("*.json")), process)
        process.send_signal(signal.SIGSTOP)
        folder.rename(tmp_path / "elsewhere")
        process.send_signal(signal.SIGCONT)
        assert end(process).code == 0
    counts, rejects = _counts(tmp_path / "out")
    assert counts["inputs"] == 2_500
    assert counts["accepted"] >= 1_024
    assert counts["rejected"] > 0
    assert {(reject["stage"], reject["reason"]) for reject in rejects} == {("read", "missing")}


def test_a_full_disk_is_said_in_a_line(small_disk, midi_folder):
    _leave_free(small_disk, 200_000)  # the pieces between the stages alone take a megabyte
    ended = run("--midi", midi_folder, "--output", small_disk / "out")
    assert ended.code == 2
    assert ended.last_words.startswith(f"{small_disk}/out.partial/work/scanned/")
    assert ended.last_words.endswith("cannot be written (No space left on device)")
    _assert_nothing_looks_finished(small_disk / "out")


@pytest.mark.slow
def test_wherever_the_disk_runs_full_the_job_says_so_and_there_is_no_dataset(small_disk, midi_folder, tmp_path):
    arguments = ("--midi", midi_folder, "--num-shards", 4, "--output")
    ample = tmp_path / "ample/music"
    assert run(*arguments, ample).code == 0
    parsed = (parse(path.read_bytes(), PrepareConfig()) for path in midi_folder.iterdir())
    spool = sum(len(msgspec.msgpack.encode(encode_prints(one.fingerprints))) + len(one.packed) for one in parsed)
    shards = sum(path.stat().st_size for path in ample.glob("*.tfrecord*"))
    lines = (ample / "pieces.jsonl").stat().st_size
    output = small_disk / "music"
    for num_bytes in (
        spool // 2,  # full while it scans,
        spool + shards // 2,  # while it writes,
        spool + shards + lines + 90_000,  # and while it finishes; so much are the many small files
    ):
        _leave_free(small_disk, num_bytes)
        ended = run(*arguments, output)
        assert ended.code == 2
        assert ended.last_words.startswith(f"{small_disk}/music.partial")
        assert ended.last_words.endswith(": cannot be written (No space left on device)")
        _assert_nothing_looks_finished(output)
        assert run("--clean", "--output", output).code == 0
        assert not (small_disk / "music.partial").exists()
    (small_disk / "ballast").unlink()
    assert run(*arguments, output).code == 0
    assert content(output) == content(ample)


@pytest.mark.slow
def test_a_full_disk_for_temporary_files_does_not_matter(small_disk, midi_folder, tmp_path):
    _leave_free(small_disk, 0)
    ended = run("--midi", midi_folder, "--output", tmp_path / "out", TMPDIR=str(small_disk), HOME=str(small_disk))
    assert ended.code == 0
    assert Dataset.open(tmp_path / "out").splits == ("train", "validation", "test")


@pytest.mark.slow
def test_what_must_not_be_read_or_written_is_said_in_a_line(tmp_path):
    paths = write_tunes(tmp_path / "midi", 3)
    write_tunes(tmp_path / "secret", 3)
    (tmp_path / "read-only").mkdir()
    paths[1].chmod(0)
    (tmp_path / "secret").chmod(0)
    (tmp_path / "read-only").chmod(0o555)
    command = [sys.executable, "-c", AS_ANYBODY, *COMMAND]
    try:
        ended = run("--midi", tmp_path / "midi", "--output", tmp_path / "read-only/out", command=command)
        assert ended.code == 2
        assert ended.last_words == f"{tmp_path}/read-only/out.partial: cannot be written (Permission denied)"

        ended = run("--midi", tmp_path / "secret", "--output", tmp_path / "out", command=command)
        assert ended.code == 2
        assert ended.last_words == f"{tmp_path}/secret: cannot be listed (Permission denied)"
        assert not (tmp_path / "out").exists()

        ended = run("--midi", tmp_path / "midi", "--output", tmp_path / "out", command=command)
        assert ended.code == 0
    finally:
        for path in (paths[1], tmp_path / "secret", tmp_path / "read-only"):
            path.chmod(0o755)
    counts, rejects = _counts(tmp_path / "out")
    assert counts == {"inputs": 3, "accepted": 2, "rejected": 1, "duplicates": 0}
    (reject,) = rejects
    assert (reject["path"], reject["reason"]) == (str(paths[1]), "unreadable")
    assert "Permission denied" in reject["detail"]


@pytest.mark.slow
def test_of_two_jobs_for_one_output_one_is_refused(midi_folder, tmp_path):
    arguments = ("--midi", midi_folder, "--output", tmp_path / "out")
    with started(*arguments) as one, started(*arguments) as other:
        ended = sorted((end(job) for job in (one, other)), key=lambda job: job.code)
    assert [job.code for job in ended] == [0, 2]
    assert "another prepare" in ended[1].last_words or "exists already" in ended[1].last_words
    assert _counts(tmp_path / "out")[0]["inputs"] == 300
