"""The commands as a user types them, on small real MIDI files, and what becomes of errors."""

import json
import os
import re
import subprocess
import sys

import pytest

from ostinato.configs.errors import ExitCode, Lines, PeerLostError, UserError
from ostinato.data.records import Dataset
from ostinato.launch.cache import counts_of
from ostinato.launch.cli import main
from ostinato.launch.commands.inspect import Inspect
from tests.midi_files import write_tunes

BASELINES = ("look-up", "markov:4", "markov:3", "markov:2", "markov:1", "unigram", "uniform")
TINY = ["--model.hidden-size", "16", "--model.embedding-size", "8", "--model.head-size", "8", "--model.no-copy"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset and a short run on it, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("cli")
    write_tunes(folder / "midi", 24)
    assert main(["prepare", "--midi", str(folder / "midi"), "--output", str(folder / "data")]) == ExitCode.FINISHED
    assert main(_train(folder)) == ExitCode.FINISHED
    return folder


def _train(folder):
    arguments = ["train", "--dataset", str(folder / "data"), "--workdir", str(folder / "run"), "debug", *TINY]
    return [*arguments, "--num-steps", "6", "--evaluate-every", "3", "--log-every", "2"]


def test_help_opens_without_the_stages():
    code = (
        "import sys\n"
        "from ostinato.launch.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'jax', 'apache_beam', 'numpy', 'flax', 'matplotlib', 'rich', 'tensorflow_datasets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for command in ([], ["prepare"], ["train"], ["plan"], ["sample"], ["bench"], ["listen", "create"]):
        arguments = [*command, "--help"]
        result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == ExitCode.FINISHED, result.stderr
        assert "usage: ostinato" in result.stdout


def test_every_command_says_something_before_it_imports_what_takes_seconds(tmp_path):
    code = (
        "import io, json, sys\n"
        "from ostinato.launch.cli import main\n"
        "class Stop(BaseException): pass\n"
        "class Stops:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in ('jax', 'apache_beam', 'scipy', 'matplotlib'): raise Stop\n"
        "sys.meta_path.insert(0, Stops())\n"
        "said = {}\n"
        "sys.stderr = heard = io.StringIO()\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    heard.seek(0), heard.truncate()\n"
        "    try: main(words)\n"
        "    except Stop: said[' '.join(words[:2])] = heard.getvalue()\n"
        "print(json.dumps(said))\n"
    )
    here = str(tmp_path)
    commands = [
        ["train", "--dataset", here, "--workdir", here, "debug"],
        ["sample", "--workdir", here, "--output", here],
        ["sample", "--model", "chorales", "--stream", f"{here}/a.mid"],
        ["sample", "--again", here],
        ["sample", "--dataset", here, "--model", "rules", "--output", here],
        ["evaluate", "--workdir", here, "--dataset", here, "--output", here],
        ["prepare", "--midi", here, "--output", here],
        ["plan", "--on", "cpu", "debug"],
        ["studio", "chorales"],
        ["export", "chorales", here],
        ["import", "chorales", here],
        ["runs", "list", here], ["runs", "show", here], ["runs", "plot", here], ["runs", "config", here],
        ["listen", "create", "--real", here, "--out", here],
        ["listen", "results", here],
        ["demo", "--output", here],
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert set(said) == {" ".join(words[:2]) for words in commands}, done.stderr
    assert not [words for words, heard in said.items() if not heard]


@pytest.mark.parametrize(
    "words",
    [
        ["prepare"], ["train", "--dataset", "a", "--workdir", "b", "paper"], ["plan", "paper"], ["sample"], ["bench"],
        ["evaluate"], ["listen", "create"], ["listen", "serve"], ["listen", "results"], ["demo"],
    ],
)  # fmt: skip
def test_every_option_is_explained(capsys, words):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert not stop.value.code
    words = re.sub(r"[^\x20-\x7e]", " ", capsys.readouterr().out).split()
    options = [number for number, word in enumerate(words) if word.startswith("--") and "[" not in words[number - 1]]
    assert len(options) >= 4
    for number in options:
        following = [word for word in words[number + 1 : number + 16] if word.islower() and word.isalpha()]
        assert len(following) >= 3, words[number]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("a: no such file"), ExitCode.USAGE, "ostinato: a: no such file\n"),
        (
            UserError(Lines.of("these differ:", "b: 1", "c: 2\nd")),
            ExitCode.USAGE,
            "ostinato: these differ:\n  b: 1\n  c: 2\\nd\n",
        ),
        (PeerLostError("process 1 is gone"), ExitCode.PEER_LOST, "ostinato: process 1 is gone\n"),
        (FloatingPointError("the loss is inf"), ExitCode.NON_FINITE, "ostinato: the loss is inf\n"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "ostinato: interrupted; give the same command again\n"),
    ],
)
def test_what_is_raised_on_purpose_is_a_line_and_an_exit_code(capsys, monkeypatch, error, code, said):
    _raise_in_inspect(monkeypatch, error)
    assert main(["inspect", "a"]) == code
    assert capsys.readouterr().err == said
    monkeypatch.setenv("OSTINATO_TRACEBACK", "1")
    assert main(["inspect", "a"]) == code
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith(said)


@pytest.mark.parametrize("error", [ValueError("of NumPy"), OSError("of the system"), KeyError("of ours")])
def test_what_nobody_foresaw_keeps_its_traceback(monkeypatch, error):
    _raise_in_inspect(monkeypatch, error)
    with pytest.raises(type(error), match=r"of (NumPy|the system|ours)"):
        main(["inspect", "a"])


def _raise_in_inspect(monkeypatch, error):
    def run(_):
        raise error

    monkeypatch.setattr(Inspect, "run", run)


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe")
@pytest.mark.parametrize(
    "words", [["--help"], ["sample", "--help"], ["--version"], ["models"], ["models", "show", "chorales"], ["inspect"]]
)
def test_a_command_whose_reader_stops_ends_without_a_word(trained, words):
    words = [*words, str(trained / "data")] if words == ["inspect"] else words
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "ostinato", *words]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (ExitCode.OUTPUT_CLOSED, "")


def test_a_broken_pipe_that_is_not_the_output_keeps_its_traceback(monkeypatch):
    _raise_in_inspect(monkeypatch, BrokenPipeError("of a socket"))
    with pytest.raises(BrokenPipeError, match="of a socket"):
        main(["inspect", "a"])


def test_folders_that_are_wrong_are_named_in_one_line(refused, tmp_path, trained):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    data, run, new = trained / "data", trained / "run", tmp_path / "x"
    said = refused("prepare", "--midi", tmp_path / "empty", "--output", tmp_path / "data")
    assert "holds no file ending in .mid" in said
    said = refused("train", "--dataset", tmp_path, "--workdir", tmp_path / "run", "debug")
    assert "not a finished dataset" in said
    assert "run 'ostinato prepare' first" in said
    assert "run 'ostinato train' first" in refused("sample", "--workdir", tmp_path, "--output", new)
    assert "run 'ostinato train' first" in refused(
        "evaluate", "--workdir", tmp_path, "--dataset", data, "--output", new
    )
    assert "exists already" in refused("prepare", "--midi", trained / "midi", "--output", data)
    assert not new.exists()
    for output in (tmp_path / "file/sub", tmp_path / "file"):
        assert str(output) in refused("train", "--dataset", data, "--workdir", output, "debug")
        assert str(output) in refused("export", run, output)
        assert str(output) in refused("runs", "plot", run, "--output", output)


def test_a_checkpoint_of_another_codec_is_refused(refused, capsys, tmp_path, trained):
    notes, run = tmp_path / "notes", trained / "run"
    arguments = ["--midi", trained / "midi", "--output", notes, "--codec.name", "notes"]
    assert main(["prepare", *map(str, arguments)]) == ExitCode.FINISHED
    said = refused("evaluate", "--workdir", run, "--dataset", notes, "--output", tmp_path / "x")
    assert "trained with another codec" in said
    said = refused("sample", "--workdir", run, "--output", tmp_path / "x", "--primer", notes)
    assert "another codec" in said
    assert main(["train", "--dataset", str(notes), "--workdir", str(run), "debug", *TINY]) == ExitCode.USAGE
    assert any("codec.name" in line for line in capsys.readouterr().err.splitlines())


def test_a_finished_run_is_shown_and_not_trained_again(capsys, trained):
    shown = []
    for _ in range(2):
        capsys.readouterr()
        assert main(["runs", "show", str(trained / "run"), "--json"]) == ExitCode.FINISHED
        shown.append(json.loads(capsys.readouterr().out))
        assert main(_train(trained)) == ExitCode.FINISHED
    assert (shown[0]["step"], shown[0]["finished"]) == (6, True)
    assert shown[0] == shown[1]
    assert main(["runs", "list", str(trained)]) == ExitCode.FINISHED
    assert re.search(r"run +│ finished +│ +6 ", capsys.readouterr().out)


def test_a_run_from_its_own_file_is_the_same_to_the_bit(capsys, trained, tmp_path):
    capsys.readouterr()
    assert main(["runs", "config", str(trained / "run")]) == ExitCode.FINISHED
    text = capsys.readouterr().out
    assert "track =" not in text
    (tmp_path / "run.toml").write_text(text)
    again = ["train", "--config", str(tmp_path / "run.toml"), "--workdir", str(tmp_path / "again")]
    assert main(again) == ExitCode.FINISHED
    shown = []
    for run in (trained / "run", tmp_path / "again"):
        capsys.readouterr()
        assert main(["runs", "show", str(run), "--json"]) == ExitCode.FINISHED
        shown.append(json.loads(capsys.readouterr().out))
    assert [run["config"] for run in shown] == [shown[0]["config"]] * 2
    assert [run["params_sha256"] for run in shown] == [shown[0]["params_sha256"]] * 2
    assert main([*again, "--num-steps", "8"]) == ExitCode.FINISHED
    assert main([*again, "--seed", "1"]) == ExitCode.USAGE


@pytest.mark.slow
def test_a_network_is_trained_played_and_measured_without_beam_tfds_and_packages_for_sound(trained, tmp_path):
    counts_of(Dataset.open(trained / "data"))  # what the Markov chains need is counted once, by Beam
    code = (
        "import json, sys\n"
        "from ostinato.launch.cli import main\n"
        "for words in json.loads(sys.argv[1]): assert main(words) == 0, words\n"
        "unwanted = {'apache_beam', 'tensorflow_datasets', 'tensorflow', 'midirenderer', 'soundfile'}\n"
        "assert not unwanted & set(sys.modules), unwanted & set(sys.modules)\n"
    )
    data, run = ["--dataset", str(trained / "data")], ["--workdir", str(tmp_path / "run")]
    commands = [
        ["train", *data, *run, "debug", *TINY, "--num-steps", "2", "--evaluate-every", "2"],
        ["sample", *run, "--output", str(tmp_path / "music"), "--num-notes", "20", "--no-audio"],
        ["evaluate", *data, *run, "--output", str(tmp_path / "report"), "--num-samples", "4", "--no-audio"],
    ]
    done = subprocess.run([sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "music").glob("*.mid"))
    assert (tmp_path / "report/report.html").is_file()


@pytest.mark.slow
def test_evaluate_measures_every_split_beside_the_baselines(trained, tmp_path, capsys):
    base = ["evaluate", "--workdir", str(trained / "run"), "--dataset", str(trained / "data"), "--num-samples", "0"]
    assert main([*base, "--output", str(tmp_path / "a"), "--batch-size", "8"]) == ExitCode.FINISHED
    assert "longest match" in capsys.readouterr().out
    report = json.loads((tmp_path / "a/report.json").read_text())
    assert report["held_out"] == "test"
    for scores in report["splits"].values():
        assert [score["name"] for score in scores] == ["lstm", *BASELINES]
        assert len({(score["rows"], score["notes"]) for score in scores}) == 1
        assert all(0 < score["bits_per_beat"] < score["bits_per_second"] for score in scores)  # 120 beats a minute
    assert [row["against"] for row in report["comparisons"]["test"]] == list(BASELINES)
    assert report["warnings"] == []
    page = (tmp_path / "a/report.html").read_text()
    assert "validation accuracy" in page
    assert "http" not in page.replace("http://www.w3.org/", ""), "the names of SVG are no addresses"
    # The batch size changes the speed and nothing else; another run stands beside; what was counted is there already.
    counted = (trained / "data/ngrams/ngrams.json").stat().st_mtime_ns
    base += ["--runs", str(trained / "run"), "--max-train-pieces", "3"]
    assert main([*base, "--output", str(tmp_path / "b"), "--batch-size", "3"]) == ExitCode.FINISHED
    assert (trained / "data/ngrams/ngrams.json").stat().st_mtime_ns == counted
    other = json.loads((tmp_path / "b/report.json").read_text())
    assert [score["name"] for score in other["splits"]["train"]] == [f"{trained / 'run'} (lstm)"] * 2 + list(BASELINES)
    assert other["splits"]["train"][0]["pieces"] == 3
    assert other["comparisons"]["test"][0]["share_less"] == 0
    assert other["splits"]["test"][0]["nats_per_note"] == pytest.approx(
        report["splits"]["test"][0]["nats_per_note"], rel=1e-5
    )


def test_inspect_shows_a_piece(trained, capsys):
    assert main(["inspect", str(trained / "data"), "--piece", "1"]) == ExitCode.FINISHED
    shown = capsys.readouterr().out
    assert "24 inputs: 24 accepted" in shown
    assert "piece 1 of train" in shown
