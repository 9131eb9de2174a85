"""The commands as a user types them, on small real MIDI files."""

import json
import re
import subprocess
import sys

import pytest

from ostinato.launch.cli import main
from ostinato.music import midi
from tests.midi_files import write_tunes

BASELINES = ("look-up", "markov:4", "markov:3", "markov:2", "markov:1", "unigram", "uniform")
TINY = ["--model.hidden-size", "16", "--model.embedding-size", "8", "--model.head-size", "8"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset and a short run on it, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("cli")
    write_tunes(folder / "midi", 24)
    assert main(["prepare", "--midi", str(folder / "midi"), "--output", str(folder / "data")]) == 0
    arguments = ["train", "--dataset", str(folder / "data"), "--workdir", str(folder / "run"), "debug"]
    assert main([*arguments, "--num-steps", "6", "--evaluate-every", "3", "--log-every", "2", *TINY]) == 0
    return folder


def _error(capsys, *arguments):
    """Runs a command that must fail, and returns its one line."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("ostinato: ")
    return line


def test_help_opens_without_the_stages():
    code = (
        "import sys\n"
        "from ostinato.launch.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "loaded = {'jax', 'apache_beam', 'numpy', 'flax', 'matplotlib', 'tensorflow_datasets'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    for command in ([], ["prepare"], ["train"], ["plan"], ["sample"], ["bench"], ["listen", "create"]):
        arguments = [*command, "--help"]
        result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "usage: ostinato" in result.stdout


def test_every_option_is_explained(capsys):
    for arguments in (
        ["prepare"],
        ["train", "--dataset", "a", "--workdir", "b", "paper"],
        ["plan", "paper"],
        ["sample"],
        ["evaluate"],
        ["bench"],
        ["listen", "create"],
        ["listen", "serve"],
        ["listen", "results"],
        ["demo"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--help"])
        assert not stop.value.code
        words = re.sub(r"[^\x20-\x7e]", " ", capsys.readouterr().out).split()
        options = [
            number for number, word in enumerate(words) if word.startswith("--") and "[" not in words[number - 1]
        ]
        assert len(options) >= 4
        for number in options:
            following = [word for word in words[number + 1 : number + 16] if word.islower() and word.isalpha()]
            assert len(following) >= 3, (arguments, words[number])


def test_flags_that_are_wrong_are_named_in_one_line(capsys):
    assert "--model.hiden-size" in _error(
        capsys, "train", "--dataset", "a", "--workdir", "b", "debug", "--model.hiden-size", "7"
    )
    assert "--workdir" in _error(capsys, "train", "--dataset", "a")
    assert "num_pieces 0 must be at least 1" in _error(
        capsys, "sample", "--workdir", "a", "--output", "b", "--num-pieces", "0"
    )
    assert "--frobnicate" in _error(capsys, "prepare", "--midi", "x", "--output", "y", "--frobnicate", "3")
    assert "frob" in _error(capsys, "frob")
    assert "chorales, debug, paper, lakh" in _error(capsys, "plan", "frob", "--on", "cpu")
    assert "v5e, v5p" in _error(capsys, "plan", "lakh", "--on", "frob", "--model.precision", "bf16")
    assert "name a machine" in _error(capsys, "plan", "lakh")


def test_folders_that_are_wrong_are_named_in_one_line(capsys, tmp_path, trained):
    (tmp_path / "empty").mkdir()
    assert "holds no file ending in .mid" in _error(
        capsys, "prepare", "--midi", tmp_path / "empty", "--output", tmp_path / "data"
    )
    unfinished = _error(capsys, "train", "--dataset", tmp_path, "--workdir", tmp_path / "run", "debug")
    assert "not a finished dataset" in unfinished
    assert "run 'ostinato prepare' first" in unfinished
    assert "run 'ostinato train' first" in _error(capsys, "sample", "--workdir", tmp_path, "--output", tmp_path / "x")
    assert "run 'ostinato train' first" in _error(
        capsys, "evaluate", "--workdir", tmp_path, "--dataset", trained / "data", "--output", tmp_path / "x"
    )
    assert "exists already" in _error(capsys, "prepare", "--midi", trained / "midi", "--output", trained / "data")
    assert not (tmp_path / "x").exists()


def test_a_checkpoint_of_another_codec_is_refused_in_one_line(capsys, tmp_path, trained):
    arguments = ["--midi", trained / "midi", "--output", tmp_path / "notes", "--codec.name", "notes"]
    assert main(["prepare", *map(str, arguments)]) == 0
    line = _error(
        capsys, "evaluate", "--workdir", trained / "run", "--dataset", tmp_path / "notes", "--output", tmp_path / "x"
    )
    assert "trained with another codec" in line
    line = _error(capsys, "train", "--dataset", tmp_path / "notes", "--workdir", trained / "run", "debug", *TINY)
    assert "codec.name" in line
    line = _error(
        capsys, "sample", "--workdir", trained / "run", "--output", tmp_path / "x", "--primer", tmp_path / "notes"
    )
    assert "another codec" in line


def test_a_finished_run_is_shown_and_not_trained_again(capsys, trained):
    assert main(["runs", "show", str(trained / "run"), "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert before["step"] == 6
    assert before["finished"]
    arguments = ["train", "--dataset", str(trained / "data"), "--workdir", str(trained / "run"), "debug"]
    assert main([*arguments, "--num-steps", "6", "--evaluate-every", "3", "--log-every", "2", *TINY]) == 0
    capsys.readouterr()
    assert main(["runs", "show", str(trained / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params_sha256"] == before["params_sha256"]
    assert main(["runs", "list", str(trained)]) == 0
    assert re.search(r"run +│ finished +│ +6 ", capsys.readouterr().out)


@pytest.mark.slow
def test_samples_are_written_and_are_the_same_for_the_same_seed(trained, tmp_path):
    base = ["sample", "--workdir", str(trained / "run"), "--num-notes", "20", "--seed", "3", "--no-audio"]
    assert main([*base, "--output", str(tmp_path / "a"), "--num-pieces", "3"]) == 0
    assert main([*base, "--output", str(tmp_path / "b"), "--num-pieces", "5", "--batch-size", "4"]) == 0
    for number in range(3):
        name = f"piece-{number:03d}.mid"
        data = (tmp_path / "a" / name).read_bytes()
        assert midi.read(data).num_notes == 20
        assert midi.read(data) == midi.read((tmp_path / "b" / name).read_bytes())
    listed = json.loads((tmp_path / "b/pieces.json").read_text())
    assert [piece["notes"] for piece in listed["pieces"]] == [20] * 5


@pytest.mark.slow
@pytest.mark.parametrize("primer", ["midi", "midi/tune-003.mid", "data"])
def test_pieces_go_on_from_a_primer(trained, tmp_path, primer):
    base = ["sample", "--workdir", str(trained / "run"), "--num-notes", "20", "--no-audio", "--primer-notes", "16"]
    assert main([*base, "--output", str(tmp_path), "--num-pieces", "2", "--primer", str(trained / primer)]) == 0
    listed = json.loads((tmp_path / "pieces.json").read_text())
    assert [(piece["notes"], piece["primer_notes"]) for piece in listed["pieces"]] == [(36, 16)] * 2


def test_evaluate_measures_every_split_beside_the_baselines(trained, tmp_path, capsys):
    base = ["evaluate", "--workdir", str(trained / "run"), "--dataset", str(trained / "data")]
    assert main([*base, "--output", str(tmp_path / "a"), "--batch-size", "8", "--num-samples", "0"]) == 0
    assert "look-up" in capsys.readouterr().out
    report = json.loads((tmp_path / "a/report.json").read_text())
    assert report["held_out"] == "test"
    for scores in report["splits"].values():
        assert [score["name"] for score in scores] == ["lstm", *BASELINES]
        assert len({(score["rows"], score["notes"]) for score in scores}) == 1
        assert all(0 < score["bits_per_beat"] < score["bits_per_second"] for score in scores)  # 120 beats a minute
    assert [row["against"] for row in report["comparisons"]["test"]] == list(BASELINES)
    assert report["warnings"] == []
    assert 0 <= report["rules"]["test"]["possible"] <= report["rules"]["test"]["known"] <= 1
    page = (tmp_path / "a/report.html").read_text()
    assert "look-up" in page
    assert "validation accuracy" in page
    assert "http" not in page.replace("http://www.w3.org/", ""), "the names of SVG are no addresses"
    # The batch size changes the speed and nothing else; another run stands beside; what was counted is there already.
    counted = (trained / "data/ngrams/ngrams.json").stat().st_mtime_ns
    base += ["--runs", str(trained / "run"), "--max-train-pieces", "3", "--num-samples", "0"]
    assert main([*base, "--output", str(tmp_path / "b"), "--batch-size", "3"]) == 0
    assert (trained / "data/ngrams/ngrams.json").stat().st_mtime_ns == counted
    other = json.loads((tmp_path / "b/report.json").read_text())
    assert [score["name"] for score in other["splits"]["train"]] == [f"{trained / 'run'} (lstm)"] * 2 + list(BASELINES)
    assert other["splits"]["train"][0]["pieces"] == 3
    assert other["comparisons"]["test"][0]["share_less"] == 0
    assert other["splits"]["test"][0]["nats_per_note"] == pytest.approx(
        report["splits"]["test"][0]["nats_per_note"], rel=1e-5
    )


@pytest.mark.parametrize("model", ["markov:3", "rules"])
def test_baselines_write_pieces_too(trained, tmp_path, model):
    base = ["sample", "--model", model, "--dataset", str(trained / "data"), "--num-notes", "20", "--no-audio"]
    assert main([*base, "--output", str(tmp_path / "a"), "--num-pieces", "2"]) == 0
    assert main([*base, "--output", str(tmp_path / "b"), "--num-pieces", "1"]) == 0
    name = "piece-000.mid"
    assert midi.read((tmp_path / "a" / name).read_bytes()) == midi.read((tmp_path / "b" / name).read_bytes())
    listed = json.loads((tmp_path / "a/pieces.json").read_text())["pieces"]
    assert [(piece["notes"], piece["origin"]["generator"]) for piece in listed] == [(20, f"ostinato {model}")] * 2


def test_flags_that_do_not_go_with_a_baseline_are_named_in_one_line(capsys, tmp_path, trained):
    base = ["sample", "--dataset", trained / "data", "--output", tmp_path / "x"]
    assert "markov:1, markov:2, markov:3, markov:4, rules" in _error(capsys, *base, "--model", "markov:9")
    assert "takes --num-pieces, --num-notes, --seed, not --temperature" in _error(
        capsys, *base, "--model", "rules", "--temperature", "0.5"
    )
    assert "needs --dataset" in _error(capsys, "sample", "--model", "rules", "--output", tmp_path / "x")
    assert "--model and --dataset go together" in _error(capsys, *base)


def test_inspect_shows_a_piece(trained, capsys):
    assert main(["inspect", str(trained / "data"), "--piece", "1"]) == 0
    shown = capsys.readouterr().out
    assert "24 inputs: 24 accepted" in shown
    assert "piece 1 of train" in shown
