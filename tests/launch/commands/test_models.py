"""Models are made, listed, shown and used by commands in place of runs."""

import json
import shutil

import pytest

from ostinato.launch.cli import main
from ostinato.launch.commands.listen import _with_folder
from ostinato.pretrained import models
from ostinato.train.checkpoint import load_params
from ostinato.train.folders import FILES
from ostinato.train.model_folder import write_model
from tests.evaluation.pieces import CODEC, tunes, write_pieces
from tests.sample.runs import untrained, write_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run, and its model folder that the command wrote."""
    folder = tmp_path_factory.mktemp("models")
    write_run(folder / "run", untrained(codec=CODEC))
    (folder / "facts.toml").write_text('summary = "Tunes"\nlicence = "CC0-1.0"\n')
    arguments = ["export", folder / "run", folder / "tunes", "--format", "model", "--card", folder / "facts.toml"]
    assert main(list(map(str, arguments))) == 0
    return folder


@pytest.fixture
def boxed(exported, tmp_path, monkeypatch):
    """A box with the model, and a folder to work in."""
    shutil.copytree(exported / "tunes", tmp_path / "box/tunes")
    monkeypatch.setattr(models, "BOX", tmp_path / "box")
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_export_writes_a_model_folder(exported):
    assert sorted(path.name for path in (exported / "tunes").iterdir()) == sorted(FILES)
    assert load_params(exported / "tunes").params_sha256 == load_params(exported / "run").params_sha256


def test_models_are_listed_and_shown(boxed, capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    num_parameters = models.find_model("tunes").config["num_parameters"]
    for word in ("tunes", "Tunes", "CC0-1.0", "in the box", f"{num_parameters:,}"):
        assert word in shown
    assert main(["models", "show", "tunes"]) == 0
    assert "| licence of the model | CC0-1.0 |" in capsys.readouterr().out


def test_what_others_wrote_does_not_reach_the_terminal_as_it_is(boxed, exported, tmp_path, capsys):
    write_model(untrained(), tmp_path / "box/bad", about={"name": "bad", "summary": "a\x1b[31m", "licence": "[b]x"})
    (tmp_path / "box/bad/README.md").write_text("card\x1b]0;title\x07\n")
    assert main(["models"]) == main(["models", "show", "bad"]) == 0
    shown = capsys.readouterr().out
    assert "[b]x" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_without_any_model_the_list_says_where_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "BOX", tmp_path)
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    assert main(["models"]) == 0
    assert "ostinato models fetch hub:USER/NAME" in capsys.readouterr().out


def test_what_cannot_be_is_refused_in_one_line(boxed, exported, refused):
    assert "no model of this name is here, only tunes" in refused("models", "show", "tune")
    assert "is in the box" in refused("models", "remove", "tunes")
    assert "no model of this name, only tunes" in refused("sample", "--model", "tune", "--output", "x")
    assert "exclude each other" in refused("sample", "--model", "tunes", "--workdir", exported / "run", "--output", "x")
    assert "--workdir is missing (or --model)" in refused("sample", "--output", "x")
    assert "is spelled hub:USER/NAME" in refused("models", "fetch", "tunes")
    assert "go with --format model" in refused("export", exported / "run", "x", "--stored", "float16")
    assert "--by-checkpoint is for runs" in refused(
        "evaluate", "--workdir", "tunes", "--dataset", _dataset(exported), "--output", "x", "--by-checkpoint"
    )


def _dataset(folder):
    if not (folder / "data").exists():
        write_pieces(folder / "data", train=tunes(*range(6)), test=tunes(*range(6, 10)))
    return folder / "data"


def test_a_model_is_a_condition_of_a_listening_test(boxed, exported, tmp_path, refused):
    assert _with_folder("tunes") == f"tunes={tmp_path / 'box/tunes'}"
    assert _with_folder("mine=tunes") == f"mine={tmp_path / 'box/tunes'}"
    assert _with_folder(str(exported / "run")) == f"run={exported / 'run'}"
    for other in ("markov:3", "rules", "a=rules", "a="):
        assert _with_folder(other) == other
    study = ["listen", "create", "--real", _dataset(exported), "--out", tmp_path / "study"]
    assert "no model of this name, only tunes" in refused(*study, "--model", "tune")


@pytest.mark.slow
def test_pieces_of_a_boxed_model_are_made_again_wherever_it_is(boxed, tmp_path, capsys):
    options = ["--num-pieces", "1", "--num-notes", "12", "--no-audio"]
    assert main(["sample", "--model", "tunes", "--output", "music", *options]) == 0
    assert json.loads((tmp_path / "work/music/piece-000.json").read_text())["found"] == {"model": "tunes"}
    shutil.copy(tmp_path / "work/music/piece-000.mid", tmp_path / "alone.mid")
    (tmp_path / "box/tunes").rename(tmp_path / "box/renamed")  # found by its parameters
    assert main(["sample", "--again", str(tmp_path / "alone.mid"), "--no-audio"]) == 0
    assert (tmp_path / "again/piece-000.mid").read_bytes() == (tmp_path / "alone.mid").read_bytes()
    assert main(["sample", "--model", str(tmp_path / "box/renamed"), "--output", "other", *options]) == 0
    assert (tmp_path / "work/other/piece-000.mid").read_bytes() == (tmp_path / "alone.mid").read_bytes()


@pytest.mark.slow
def test_evaluate_train_import_and_export_take_a_model(boxed, exported, tmp_path):
    dataset = str(_dataset(exported))
    arguments = ["evaluate", "--workdir", str(exported / "run"), "--runs", "tunes", "--dataset", dataset]
    assert main([*arguments, "--output", "report", "--num-samples", "0", "--no-audio"]) == 0
    one, other = json.loads((tmp_path / "work/report/report.json").read_text())["splits"]["test"][:2]
    assert one["nats_per_note"] == other["nats_per_note"]
    assert other["name"] == "tunes (lstm)"
    assert main(["import", "tunes", "imported"]) == 0
    sha256 = load_params(tmp_path / "work/imported").params_sha256
    assert sha256 == load_params(exported / "run").params_sha256
    network = ["--model.embedding-size", "8", "--model.hidden-size", "16", "--model.head-size", "8"]
    network += ["--model.num-layers", "2", "--model.norm", "none", "--model.no-copy"]
    train = ["train", "--dataset", dataset, "--workdir", "tuned", "--init-from", "tunes", "debug", *network]
    assert main([*train, "--num-steps", "1", "--data.batch-size", "4"]) == 0
    assert load_params(tmp_path / "work/tuned").description["init_from"]["params_sha256"] == sha256
    assert main(["export", "tunes", "exchange"]) == 0
    assert (tmp_path / "work/exchange/parameters.safetensors").is_file()
