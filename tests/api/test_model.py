"""What a model does in Python is what the command does."""

import inspect
import json

import jax
import numpy as np
import pretty_midi
import pytest

import ostinato
from ostinato.configs.errors import ExitCode
from ostinato.configs.schema import SampleConfig
from ostinato.launch.cli import main
from ostinato.model.network import initial_carry
from ostinato.music import midi
from tests.midi_files import tune, write_tunes
from tests.sample.runs import untrained, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_run(folder / "run", untrained())
    write_tunes(folder / "midi", 2)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return ostinato.load(folder / "run")


def by_the_command(folder, output, *options):
    words = ["sample", "--workdir", folder / "run", "--output", output, "--no-audio", *options]
    assert main([str(word) for word in words]) == ExitCode.FINISHED
    return [path.read_bytes() for path in sorted(output.glob("*.mid"))]


def test_new_pieces_are_those_of_the_command_to_the_byte(folder, model, tmp_path):
    pieces = model.sample(
        num_pieces=2, notes=16, seed=5, key="D minor", temperature=1, instruments=["Flute", "drums"],
        field_temperature={"pitch": 2}, style="wild",
    )  # fmt: skip
    options = [
        "--num-pieces", "2", "--num-notes", "16", "--seed", "5", "--key", "D minor", "--temperature", "1",
        "--instruments", "Flute", "drums", "--field-temperature", "pitch", "2", "--style", "wild",
    ]  # fmt: skip
    assert [piece.midi() for piece in pieces] == by_the_command(folder, tmp_path / "music", *options)
    assert [piece.name for piece in pieces] == ["piece-000", "piece-001"]
    assert json.loads(json.dumps(pieces[1].origin))["options"]["key"] == "D minor"


def test_a_continued_piece_is_that_of_the_command_whatever_the_primer_comes_in(folder, model, tmp_path):
    file = folder / "midi/tune-001.mid"
    (tmp_path / "music.mid").write_bytes(file.read_bytes())
    options = ["--num-pieces", "1", "--num-notes", "8", "--primer-bars", "2", "--primer", tmp_path / "music.mid"]
    (wanted,) = by_the_command(folder, tmp_path / "music", *options)
    for primer in (str(tmp_path / "music.mid"), file.read_bytes()):
        (piece,) = model.continue_(primer, num_pieces=1, num_notes=8, primer_bars=2)
        assert piece.midi() == wanted
    (again,) = model.continue_(piece, num_pieces=1, num_notes=4, primer_bars=1)
    assert again.origin["inputs"]["primer"]["name"] == "piece-000.mid"
    (other,) = model.continue_(pretty_midi.PrettyMIDI(str(file)), num_pieces=1, num_notes=8, primer_bars=2)
    assert other.notes["pitch"].tolist() == piece.notes["pitch"].tolist()
    (new,) = model.continue_(file, num_pieces=1, num_notes=8, primer_bars=2, without_primer=True)
    assert new.num_notes == 8 < piece.num_notes


def test_voices_and_bars_are_those_of_the_command(folder, model, tmp_path):
    file, few = folder / "midi/tune-000.mid", ["--num-pieces", "1", "--particles", "8"]
    (piece,) = model.harmonise(file, num_pieces=1, particles=8, instruments="Flute")
    assert [piece.midi()] == by_the_command(folder, tmp_path / "a", *few, "--harmonise", file, "--instruments", "Flute")
    (piece,) = model.fill(file, (2, 1), num_pieces=1, particles=8)
    assert [piece.midi()] == by_the_command(folder, tmp_path / "b", *few, "--fill", file, "--fill-bars", "2", "1")


def test_wrong_keywords_and_values_are_told_apart(model):
    with pytest.raises(TypeError, match=r"unknown option tempretaure \(perhaps temperature\)"):
        model.sample(tempretaure=1)
    with pytest.raises(TypeError, match="bars is short for num_bars; give one of them"):
        model.sample(bars=1, num_bars=2)
    with pytest.raises(ostinato.UserError, match=r"temperature -1\.0 of temperature must be at least 0"):
        model.sample(temperature=-1)
    with pytest.raises(ostinato.UserError, match="key 'H'"):
        model.sample(key="H")
    with pytest.raises(ostinato.UserError, match="leaves out what --primer gives"):
        model.sample(without_primer=True)
    with pytest.raises(
        ostinato.UserError, match="music must be a file, bytes of MIDI, a Piece or a PrettyMIDI, not in"
    ):
        model.continue_(3)
    with pytest.raises(ostinato.UserError, match="there is no run and no model folder here"):
        ostinato.load("nowhere")


def test_the_signatures_hold_the_options_and_their_defaults(model):
    parameters = inspect.signature(model.sample).parameters
    assert parameters["temperature"].default == SampleConfig().temperature
    assert "primer_bars" not in parameters
    assert "primer_bars" in inspect.signature(model.continue_).parameters
    assert "options" not in parameters


def test_the_log_likelihood_is_what_the_network_says_of_each_row(folder, model):
    """START is given; END counts. The sampler says the same of what it writes, where nothing is asked for."""
    found = model.log_likelihood(folder / "midi/tune-000.mid")
    assert found.num_notes == tune(0).num_notes
    assert found.per_note == found.total / found.num_notes < 0
    assert model.log_likelihood((folder / "midi/tune-000.mid").read_bytes()) == found
    assert model.log_likelihood(folder / "midi/tune-000.mid", style="wild") != found
    with pytest.raises(ostinato.UserError, match="style 'frob' is not one that the model knows: calm, wild"):
        model.log_likelihood(folder / "midi/tune-000.mid", style="frob")
    run = untrained()
    steps = run.codec.encode(midi.read((folder / "midi/tune-000.mid").read_bytes())).astype(np.int32)
    starts = np.zeros((1, len(steps) - 1), bool)
    starts[0, 0] = True
    carry = initial_carry(run.model.config, 1)
    logits, _ = jax.jit(run.model.apply)({"params": run.params}, steps[None, :-1], steps[None, 1:], starts, carry)
    total = 0.0
    for field, of_field in enumerate(logits):
        values = np.asarray(of_field, np.float64)[0]
        total += (values[np.arange(len(values)), steps[1:, field]] - np.log(np.exp(values).sum(1))).sum()
    assert found.total == pytest.approx(total, rel=1e-5)


def test_a_model_says_what_it_knows(model):
    assert model.styles == ["calm", "wild"]
    assert model.instruments == [], "nobody knows what a network without a dataset has heard"
    assert repr(model).endswith("run, step 0>")
