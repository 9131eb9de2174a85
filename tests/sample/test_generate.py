import io
import itertools

import jax
import jax.numpy as jnp
import mido
import numpy as np
import pretty_midi
import pytest
import symusic

from ostinato.configs.schema import ModelConfig, SampleConfig
from ostinato.model.field_head import nll
from ostinato.model.network import MusicModel, init_params, initial_carry
from ostinato.music import midi
from ostinato.music.score_rows import END, REST, START
from ostinato.sample.blocks import WIDTHS
from ostinato.sample.generate import generate
from ostinato.sample.primers import Primer
from tests.midi_files import tune
from tests.sample.tiny_models import NETWORKS, NOTES, SCORE, tiny_model, write


@pytest.fixture(scope="module")
def score_model():
    return tiny_model(SCORE)


@pytest.fixture(scope="module")
def eleven(score_model):
    return write(score_model, num_pieces=11, num_notes=60, temperature=2.0)


def test_a_piece_has_as_many_notes_as_were_asked_for(eleven):
    assert [int(SCORE.count_notes(piece.steps).sum()) for piece in eleven] == [60] * 11
    assert all(tuple(piece.steps[0]) == SCORE.start and tuple(piece.steps[-1]) == SCORE.end for piece in eleven)
    assert len({piece.steps.tobytes() for piece in eleven}) == 11


@pytest.mark.parametrize(("num_pieces", "batch_size"), [(11, 16), (3, 1), (11, 1000)])
def test_the_batch_size_does_not_change_the_music(score_model, eleven, num_pieces, batch_size):
    config = SampleConfig(num_pieces=num_pieces, num_notes=60, batch_size=batch_size, temperature=2.0)
    pieces = generate(*score_model, SCORE, config)
    for one, other in zip(pieces, eleven, strict=False):
        np.testing.assert_array_equal(one.steps, other.steps)
    assert len(pieces) == num_pieces


def test_another_seed_gives_other_music(score_model, eleven):
    other = write(score_model, num_pieces=2, num_notes=60, temperature=2.0, seed=1)
    assert not np.array_equal(other[0].steps, eleven[0].steps)


def test_every_step_is_legal_so_that_decoding_repairs_nothing(eleven):
    for piece in eleven:
        np.testing.assert_array_equal(SCORE.encode(SCORE.decode(piece.steps), int(piece.steps[1, 2])), piece.steps)


def test_independent_readers_find_the_same_notes(eleven):
    for piece in eleven[:4]:
        data = midi.write(SCORE.decode(piece.steps))
        pretty = pretty_midi.PrettyMIDI(io.BytesIO(data))
        assert sum(len(instrument.notes) for instrument in pretty.instruments) == 60
        messages = itertools.chain.from_iterable(mido.MidiFile(file=io.BytesIO(data)).tracks)
        assert sum(message.type == "note_on" and message.velocity > 0 for message in messages) == 60
        assert symusic.Score.from_midi(data).note_num() == 60
        assert midi.read(data).num_notes == 60


@pytest.mark.parametrize("config", NETWORKS)
def test_a_piece_goes_on_from_its_primer(config):
    score_model = tiny_model(SCORE, config)
    primers = [SCORE.encode(tune(seed))[:20] for seed in (1, 2)]
    pieces = write(score_model, [Primer(primer) for primer in primers], num_pieces=3, num_notes=25)
    for number, piece in enumerate(pieces):
        primer = primers[number % 2]
        np.testing.assert_array_equal(piece.steps[:20], primer)
        assert piece.num_primer_steps == 20
        assert int(SCORE.count_notes(piece.steps[20:]).sum()) == 25
    assert not np.array_equal(pieces[0].steps, pieces[2].steps)


def test_a_primer_longer_than_a_chunk_is_kept_whole(score_model):
    primer = SCORE.encode(tune(1, num_notes=160))[:-1]
    (piece,) = write(score_model, [Primer(primer)], num_pieces=1, num_notes=5)
    assert len(primer) > 128
    np.testing.assert_array_equal(piece.steps[: len(primer)], primer)
    assert int(SCORE.count_notes(piece.steps[len(primer) :]).sum()) == 5


def test_the_model_may_end_a_piece_and_is_cut_at_max_notes(score_model):
    model, params = score_model
    # Untrained, it hardly ever ends; these biases make END one of the likeliest rows.
    head = dict(params["head"])
    head["output_bias_0"] = head["output_bias_0"].at[0].add(6.0)
    head["output_bias_1"] = head["output_bias_1"].at[END].add(2.0)
    pieces = write((model, {**params, "head": head}), num_pieces=11, max_notes=100)
    notes = [int(SCORE.count_notes(piece.steps).sum()) for piece in pieces]
    assert max(notes) <= 100
    assert any(piece.ended for piece in pieces)
    for piece in pieces:
        assert (piece.steps[:, 1] == END).sum() == 1
        assert piece.steps[-2, 1] < START  # the last row before END is a note


def test_a_model_that_only_rests_is_cut_and_reported(score_model, caplog):
    model, params = score_model
    head = dict(params["head"])
    for field, value in ((0, 0), (1, REST), (3, -1)):  # rests of the longest kind may follow each other for ever
        head[f"output_bias_{field}"] = head[f"output_bias_{field}"].at[value].add(60.0)
    pieces = write((model, {**params, "head": head}), num_pieces=2, num_notes=8)
    assert all(int(SCORE.count_notes(piece.steps).sum()) < 8 for piece in pieces)
    assert "pieces [0, 1" in caplog.text
    assert "fewer than 8 notes" in caplog.text


def test_pieces_of_the_notes_codec_are_legal_and_long_enough():
    pieces = write(tiny_model(NOTES), codec=NOTES, num_pieces=4, num_notes=30)
    for piece in pieces:
        assert int(NOTES.count_notes(piece.steps).sum()) == 30
        np.testing.assert_array_equal(NOTES.encode(NOTES.decode(piece.steps)), piece.steps)


def test_a_primer_that_begins_elsewhere_is_refused(score_model):
    with pytest.raises(ValueError, match="must begin with the START row"):
        write(score_model, [Primer(SCORE.encode(tune(1))[3:9])])


@pytest.mark.slow
def test_ten_thousand_notes_at_temperature_two_are_legal(score_model):
    pieces = write(score_model, num_pieces=20, num_notes=500, temperature=2.0)
    assert sum(int(SCORE.count_notes(piece.steps).sum()) for piece in pieces) == 10_000
    for piece in pieces:
        np.testing.assert_array_equal(SCORE.encode(SCORE.decode(piece.steps), int(piece.steps[1, 2])), piece.steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ({}, {}),
        ({}, {"top_k": 40, "top_p": 0.9, "min_p": 0.001, "density": 9.0, "temperature": 1.2}),
        ({"cell": "mlstm", "norm": "pre"}, {}),
    ],
)
def test_all_widths_of_blocks_write_the_same_bytes_with_a_network_as_large_as_that_of_the_chorales(network, options):
    config = ModelConfig(embedding_size=128, hidden_size=256, num_layers=2, head_size=128, **network)
    model = MusicModel(config=config, field_sizes=tuple(field.size for field in SCORE.fields))
    params = jax.tree.map(lambda leaf: 2 * leaf, init_params(model, jax.random.key(0)))
    expected: list[tuple[bytes, bytes]] = []
    for width in WIDTHS[::-1]:
        wanted = SampleConfig(num_pieces=width, batch_size=width, num_notes=150, **options)
        pieces = generate(model, params, SCORE, wanted, devices=jax.devices()[:1])
        found = [(piece.steps.tobytes(), piece.log_probs.tobytes()) for piece in pieces]
        expected = expected or found
        assert found == expected[:width], width


@pytest.mark.slow
def test_the_number_of_devices_does_not_change_the_music(score_model, eleven):
    config = SampleConfig(num_pieces=25, num_notes=60, batch_size=32, temperature=2.0)  # four blocks
    for count in (1, 2, 4):
        devices = jax.devices()[:count]
        assert len(devices) == count
        for one, other in zip(generate(*score_model, SCORE, config, devices=devices), eleven, strict=False):
            np.testing.assert_array_equal(one.steps, other.steps)
            np.testing.assert_array_equal(one.log_probs, other.log_probs)


def test_the_likelihood_is_that_of_the_network_for_the_same_rows(score_model):
    model, params = score_model
    (piece,) = write(score_model, num_pieces=1, num_notes=20, temperature=0.7, key="C major")
    steps = jnp.asarray(piece.steps.astype(np.int32))[None]
    is_start = jnp.zeros((1, len(piece.steps) - 1), bool).at[:, 0].set(True)
    apply = jax.jit(model.apply)
    logits, _ = apply({"params": params}, steps[:, :-1], steps[:, 1:], is_start, initial_carry(model.config, 1))
    expected = -nll(logits, steps[:, 1:]).sum(-1)[0]
    np.testing.assert_allclose(piece.log_probs[1:-1], expected[:-1], rtol=1e-4, atol=1e-4)
    assert piece.log_likelihood == pytest.approx(float(piece.log_probs[1:-1].mean()))  # END was not its own


def test_the_best_of_several_candidates_is_kept_and_the_first_is_the_only_one_without(score_model):
    alone = write(score_model, num_pieces=2, num_notes=20)
    best = write(score_model, num_pieces=2, num_notes=20, best_of=4)
    config = SampleConfig(num_pieces=8, num_notes=20, batch_size=8, best_of=4)
    one_device = jax.devices()[:1]
    first = generate(*score_model, SCORE, config, score=lambda candidate: -candidate.candidate, devices=one_device)
    for ours, theirs, chosen in zip(alone, first[:2], best, strict=True):
        np.testing.assert_array_equal(ours.steps, theirs.steps)
        assert chosen.log_likelihood >= ours.log_likelihood
    assert any(chosen.candidate for chosen in best)
