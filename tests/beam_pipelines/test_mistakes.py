"""What the command `ostinato prepare` says to odd arguments: one line, or nothing where they make sense."""

import dataclasses
import os
import zipfile

import pytest

from ostinato.beam_pipelines.inputs.sources import find_units
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.prepare import PrepareError, run_job
from ostinato.beam_pipelines.runners import reason_of_cluster
from ostinato.beam_pipelines.work import begin
from ostinato.configs.preparation import PrepareConfig
from ostinato.data.records import Dataset
from ostinato.launch.cli import main
from tests.midi_files import write_tunes


@pytest.mark.parametrize("output", ["file/out", "file/deep/er/out", "link", "file", "n" * 300 + "/out", ""])
def test_an_output_that_cannot_be_is_said_in_a_line(tmp_path, capsys, output):
    write_tunes(tmp_path / "midi", 3)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    path = str(tmp_path / output) if output else ""
    assert main(["prepare", "--midi", str(tmp_path / "midi"), "--output", path]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ostinato: {path or '--output'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "midi"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--midi"], "--midi names nothing"),
        (["--midi", ""], "no such file or folder"),
        (["--parsers", "-1"], "--parsers -1 must not be negative"),
        (["--output", "/"], "'/' is not the name of a folder"),
        (["--output", "s3://"], "'s3://' is not the name of a folder"),
        (["--runner"], "--runner: expected one argument"),
        (["--direct_num_workers=many"], "--direct_num_workers: invalid int value: 'many'"),
        (
            ["--dircet_num_workers=2"],
            "unknown option --dircet_num_workers; see 'ostinato prepare --help' and Beam's own",
        ),
        (["--min-note", "3"], "unknown option --min-note (perhaps --min-notes);"),
        (["--labels", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["--split", "80", "10"], "--split needs 3 values"),
        (["--split", "90", "10", "10"], "three percentages that add up to 100"),
    ],
)
def test_an_odd_argument_is_said_in_a_line(tmp_path, capsys, arguments, message):
    write_tunes(tmp_path / "midi", 3)
    usual = {"--midi": tmp_path / "midi", "--output": tmp_path / "out"}
    others = [str(word) for name, value in usual.items() if name not in arguments for word in (name, value)]
    assert main(["prepare", *others, *arguments]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "inputs found" not in line)
    assert line.startswith("ostinato: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["midi"]


def test_folders_may_have_any_name_and_hold_the_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a b", "ünï✓", "new\nline", "-dash", "[g]lob*", os.fsdecode(b"bad\xff")]
    for number, name in enumerate(names):
        write_tunes(tmp_path / name, 5, first_seed=5 * number)
    patterns = ["--midi=-dash", "a b/", str(tmp_path / "a b"), *(f"./{name}" for name in names)]
    output = os.fsdecode(b"a b/o\xff\nut/-deep/")
    config = ["--codec.style", "folder", "--num-shards", "1000", "--parsers", "8"]
    assert main(["prepare", *patterns, f"--output={output}", *config]) == 0
    dataset = Dataset.open(output)
    assert dataset.manifest["counts"] == {"inputs": 30, "accepted": 30, "rejected": 0, "duplicates": 0}
    assert set(dataset.manifest["codec"]["styles"]) == {*names[:2], r"new\nline", *names[3:5], r"bad\xff"}
    for path in dataset.path.glob("*.json*"):
        path.read_text(encoding="utf-8")


def test_labels_that_name_no_input_are_noticed(tmp_path, caplog):
    write_tunes(tmp_path / "midi", 3)
    (tmp_path / "labels.csv").write_text("path,style\nmidi/tune-000.mid,folk\n")
    arguments = ["--midi", tmp_path / "midi", "--output", tmp_path / "out", "--labels", tmp_path / "labels.csv"]
    assert main(["prepare", *map(str, arguments)]) == 0
    assert "labels.csv: names none of the inputs" in caplog.text


@pytest.mark.parametrize(
    "mode", ["in_memory", "multi_threading", pytest.param("multi_processing", marks=pytest.mark.cluster)]
)
def test_what_a_worker_complains_of_is_said_in_the_same_words(tmp_path, mode):
    write_tunes(tmp_path / "midi", 3)
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as box:
        box.write(tmp_path / "midi/tune-000.mid")
    units = find_units([str(tmp_path / "box.zip")])
    (tmp_path / "box.zip").unlink()
    args = ("--runner=FnApiRunner", f"--direct_running_mode={mode}", "--direct_num_workers=2")
    job = Job(
        config=PrepareConfig(), folder=str(tmp_path / "out"), work=str(tmp_path / "work"), name="out", labels="",
        num_parsers=1, beam_args=args,
    )  # fmt: skip
    numbered = begin(job, units, inputs_per_unit=8)
    with pytest.raises(PrepareError) as raised:
        run_job(numbered, job)
    assert str(raised.value) == f"{tmp_path}/box.zip: cannot be read (No such file or directory)"
    another = dataclasses.replace(job, version="0.0.1")
    with pytest.raises(PrepareError, match=r"^this worker has ostinato \S+, the job was started with 0\.0\.1$"):
        run_job(numbered, another)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Pipeline job failed in state FAILED: java.io.IOException: worker lost\n\tat Main.main", "worker lost"),
        ("Pipeline job failed in state FAILED: java.lang.RuntimeError: Traceback (most recent call last):\n", None),
        ("division by zero", None),
    ],
)
def test_the_cluster_is_to_blame_for_what_no_stage_has_raised(said, reason):
    found = reason_of_cluster(RuntimeError(said))
    assert found == (reason and f"java.io.IOException: {reason}")
