import json
import time

import pytest
from rich.console import Console

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from ostinato.launch.commands.demo import Demo
from ostinato.pretrained import models
from ostinato.train.model_folder import write_model
from tests.midi_files import write_tunes
from tests.sample.runs import untrained

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)  # four demos: three minutes on a quiet machine
def test_the_demo_goes_from_midi_to_music_and_does_nothing_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "BOX", tmp_path / "none")
    write_tunes(tmp_path / "midi", 30)
    (tmp_path / "demo/run/checkpoints").mkdir(parents=True)  # an earlier one was killed before the first checkpoint
    arguments = ["demo", "--preset", "debug", "--output", str(tmp_path / "demo"), "--midi", str(tmp_path / "midi")]
    assert main([*arguments, "--num-pieces", "2", "--num-notes", "24"]) == ExitCode.FINISHED
    shown = capsys.readouterr().out
    assert "".join(shown.split()).endswith(f"Studioostinatostudio{tmp_path / 'demo/run'}")
    for made in ("music/index.html", "report/report.html"):
        assert str(tmp_path / "demo" / made).replace("\n", "") in shown.replace("\n", "")
        assert (tmp_path / "demo" / made).is_file()
    for predictor in ("lstm", "markov:4", "unigram", "longest match", "uniform"):
        assert predictor in shown
    assert shown.count("uniform") == 1, "the figures are shown once"
    pieces = json.loads((tmp_path / "demo/music/pieces.json").read_text())["pieces"]
    assert [piece["notes"] for piece in pieces] == [24, 24]

    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*") if path.is_file()}
    time.sleep(0.01)
    assert main([*arguments, "--num-pieces", "2", "--num-notes", "24"]) == ExitCode.FINISHED
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("*") if path.is_file()} == files
    assert "uniform" in capsys.readouterr().out
    # Another wish is sampled anew from the same model and replaces what was there.
    for count in (3, 1):
        assert main([*arguments, "--num-pieces", str(count), "--num-notes", "24"]) == ExitCode.FINISHED
        assert len(list((tmp_path / "demo/music").iterdir())) == 4 * count + 2


def test_the_demo_begins_with_pieces_of_a_model_in_the_box(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "BOX", tmp_path / "box")
    write_model(untrained(), tmp_path / "box/tiny", about={"name": "tiny", "summary": "", "licence": ""})
    for played in (True, False):  # once
        Demo(output=tmp_path / "demo")._play_boxed_model(tmp_path / "demo/first", Console())
        shown = capsys.readouterr().out
        assert ("A trained model in the box: tiny" in shown) == played
        assert f"Hear it while yours is trained: {tmp_path / 'demo/first/index.html'}" in shown
    assert len(json.loads((tmp_path / "demo/first/pieces.json").read_text())["pieces"]) == 3


def test_the_paper_preset_runs_from_midi_to_music(tmp_path):
    """The paper's codec, windows, inputs and split, with the network made small."""
    write_tunes(tmp_path / "midi", 30)
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    prepare = ["prepare", "--midi", str(tmp_path / "midi"), "--output", data, "--codec.name", "notes"]
    assert main([*prepare, "--codec.min-count", "1", "--split", "80", "20", "0"]) == ExitCode.FINISHED
    small = ["--model.hidden-size", "16", "--model.head-size", "8", "--data.batch-size", "8"]
    assert (
        main(["train", "--dataset", data, "--workdir", run, "paper", "--num-steps", "8", *small]) == ExitCode.FINISHED
    )
    music = ["sample", "--workdir", run, "--output", str(tmp_path / "music"), "--primer", data]
    assert (
        main([*music, "--num-pieces", "2", "--num-notes", "30", "--primer-notes", "50", "--no-audio"])
        == ExitCode.FINISHED
    )
    pieces = json.loads((tmp_path / "music/pieces.json").read_text())["pieces"]
    assert all(piece["primer_notes"] >= 50 and piece["notes"] == piece["primer_notes"] + 30 for piece in pieces)
    assert (
        main(["evaluate", "--workdir", run, "--dataset", data, "--output", str(tmp_path / "report")])
        == ExitCode.FINISHED
    )
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["held_out"] == "validation"
    assert [row["metric"] for row in report["paper_table"]] == [
        "training loss",
        "validation loss",
        "validation accuracy",
        "perplexity",
    ]
