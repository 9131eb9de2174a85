"""Dataset, model, music and report by functions; each shows its progress, and leaves logging as it was."""

import hashlib
import json
import subprocess
import sys

import pytest

import ostinato
from ostinato.data.records import Dataset
from tests.midi_files import write_tunes

TINY = {"hidden_size": 16, "embedding_size": 8, "head_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    write_tunes(folder / "midi", 24)
    return folder


@pytest.mark.slow
def test_ten_lines_from_files_to_music_and_a_report(folder, capsys):
    dataset = ostinato.prepare(folder / "midi", folder / "data", min_notes=8, split=[80, 10, 10])
    assert "24 inputs: 24 accepted" in capsys.readouterr().out
    model = ostinato.train(dataset, folder / "run", "debug", num_steps=4, evaluate_every=2, model=TINY)
    assert "4 steps done; validation loss" in capsys.readouterr().out
    assert model.instruments == ["Acoustic Grand Piano", "Acoustic Bass"]
    (piece,) = model.sample(num_pieces=1, notes=8)
    assert piece.num_notes == 8
    again = ostinato.train(dataset, folder / "run", "debug", num_steps=4, evaluate_every=2, model=TINY)
    assert again.sample(num_pieces=1, notes=8)[0].midi() == piece.midi(), "a finished run is not trained again"
    report = ostinato.evaluate(folder / "run", dataset, folder / "report", num_samples=0, audio=False)
    assert report == json.loads((folder / "report/report.json").read_text())
    scores = {score["name"]: score for score in report["splits"]["test"]}
    (file,) = [file for file in (folder / "midi").iterdir() if _is_test(dataset, file)]
    per_note = model.log_likelihood(file).per_note
    assert -per_note == pytest.approx(scores["lstm"]["nats_per_note"], rel=1e-5)


def _is_test(dataset, file):
    source = Dataset.open(dataset).source("test")
    assert len(source) == 1
    return source[0].id == hashlib.sha256(file.read_bytes()).hexdigest()


def test_wrong_keywords_are_refused_before_anything_is_done(folder, tmp_path):
    with pytest.raises(TypeError, match=r"unknown option max_note \(perhaps max_notes"):
        ostinato.prepare(folder / "midi", tmp_path / "x", max_note=3)
    with pytest.raises(TypeError, match=r"unknown option hidden_size \(perhaps model\.hidden_size\)"):
        ostinato.train(tmp_path, tmp_path / "x", "debug", hidden_size=3)
    with pytest.raises(ostinato.UserError, match=r"preset 'debg' \(perhaps debug\) must be one of chorales, debug"):
        ostinato.train(tmp_path, tmp_path / "x", "debg")
    with pytest.raises(ostinato.UserError, match="track 'tensorboard' must be one of wandb, mlflow"):
        ostinato.train(tmp_path, tmp_path / "x", "debug", track="tensorboard")
    with pytest.raises(TypeError, match=r"unknown option num_sample \(perhaps num_samples\)"):
        ostinato.evaluate(tmp_path, tmp_path, tmp_path / "x", num_sample=3)
    assert not (tmp_path / "x").exists()


_PROGRESS = """
import logging, sys
from ostinato.api.stages import _shown
ours = logging.getLogger("ostinato.train")
ours.info("nobody asked")
with _shown():
    ours.info("step 1")
    logging.warning("others")
    logging.error("a mistake")
assert not logging.getLogger().handlers and not logging.getLogger("ostinato").handlers
logging.basicConfig(stream=sys.stdout, format="mine: %(message)s", level=logging.INFO)
with _shown():
    ours.info("step 2")
"""


def test_progress_is_shown_unless_the_program_shows_it_itself():
    done = subprocess.run([sys.executable, "-c", _PROGRESS], capture_output=True, text=True, check=False)
    assert done.stderr == "step 1\na mistake\n"
    assert done.stdout == "mine: step 2\n"
