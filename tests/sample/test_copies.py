"""Music that comes back: the copy gate in the sampler says what it says in training, and copies what it should."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.model.network import MusicModel, init_params, initial_carry
from ostinato.music import alignment, score_rows
from ostinato.music.alignment import LAGS, RUN_EDGES
from ostinato.sample import clock as clocks
from ostinato.sample import copies
from ostinato.sample.copies import advance_alignment, alignment_of, start_alignment
from ostinato.sample.generate import generate
from ostinato.sample.primers import Primer
from ostinato.train.batch import Batch
from ostinato.train.loss import Steps, head_loss
from tests.midi_files import returning_tune
from tests.sample.tiny_models import CONFIG, SCORE, assert_legal, leaning, write


@pytest.fixture(scope="module")
def model():
    config = dataclasses.replace(CONFIG, norm="pre", copy=True)
    network = MusicModel(config=config, field_sizes=tuple(field.size for field in SCORE.fields))
    return network, init_params(network, jax.random.key(1))


def gated(model, varied=-60.0, **biases):
    """The model with the log weight of the network (lag 0) or of some lags raised, and copies varied so often."""
    network, params = model
    variation = jnp.broadcast_to(jnp.float32(varied), params["gate"]["variation_bias"].shape)
    bias = params["gate"]["output_bias"]
    for lag, amount in biases.items():
        index = 1 + LAGS.index(int(lag[1:])) if lag != "network" else 0
        bias = bias.at[index].add(amount)
    return network, {**params, "gate": {**params["gate"], "output_bias": bias, "variation_bias": variation}}


@pytest.mark.parametrize("memory", [2048, 32])
def test_row_by_row_is_what_the_whole_piece_says(monkeypatch, memory):
    monkeypatch.setattr(alignment, "MEMORY", memory)
    monkeypatch.setattr(copies, "MEMORY", memory)
    pieces = [SCORE.encode(returning_tune(seed)) for seed in range(4)]
    length = min(map(len, pieces))
    rows = jnp.asarray(np.stack([piece[:length] for piece in pieces], axis=1), jnp.int32)

    def step(carry, row):
        state, clock = carry
        clock = clocks.advance(clock, SCORE.grammar.elapsed(jnp, row), jnp.zeros(len(row), bool))
        state = advance_alignment(state, row, clock)
        return (state, clock), alignment_of(state, clock)

    begin = start_alignment(len(pieces)), clocks.start_clock(SCORE.grammar.grid, len(pieces))
    _, found = jax.lax.scan(step, begin, rows)
    for b, piece in enumerate(pieces):
        wanted = alignment.align(piece[:length])
        for name, values in wanted._asdict().items():
            np.testing.assert_allclose(getattr(found, name)[:, b], values, atol=1e-5, err_msg=name)
    assert len(RUN_EDGES) + 1 > int(found.run.max()) > 0


def test_pitch_0_which_rests_have_is_played_only_where_it_is_asked_for(model):
    leaking = leaning(gated(model, network=60.0), output_bias_1={0: 4.0}, output_bias_2={0: 8.0})
    by_default = write(leaking, num_pieces=8, num_notes=20)
    asked_for = write(leaking, num_pieces=8, num_notes=20, pitch_range=("0", "127"))
    assert min(SCORE.decode(piece.steps).notes.pitch.min() for piece in by_default) > 0
    assert min(SCORE.decode(piece.steps).notes.pitch.min() for piece in asked_for) == 0


def teacher_forced(model, steps):
    """Nats of the rows after the first, as training counts them."""
    network, params = model
    batch = Batch(
        inputs=steps[None, :-1].astype(np.int32),
        targets=steps[None, 1:].astype(np.int32),
        starts=np.zeros((1, len(steps) - 1), bool),
        weights=np.ones((1, len(steps) - 1), np.float32),
        alignment=jax.tree.map(lambda column: column[None, :-1], SCORE.align(steps)),
    )
    return float(nats_of(network, params, batch))


@functools.partial(jax.jit, static_argnums=0)
def nats_of(network, params, batch):
    carry = initial_carry(network.config, 1)
    features, _ = network.apply({"params": params}, batch.inputs, batch.starts, carry, method=MusicModel.features)
    steps = Steps(features, batch.targets, batch.weights, batch.alignment)
    return head_loss(network, params, steps)[1].nll_f.sum()


def test_the_sampler_gives_a_piece_the_likelihood_that_training_gives_it(model):
    often = gated(model, varied=-1.0, l1=3.0, l4=3.0)
    primer = SCORE.encode(returning_tune(0))[:-1]
    (piece,) = write(often, [Primer(primer)], num_pieces=1, num_notes=40, temperature=1.5, top_p=0.8)
    rows = piece.steps[:-1] if not piece.ended else piece.steps
    log_probs = piece.log_probs[: len(rows)]
    assert -log_probs.sum() == pytest.approx(teacher_forced(often, rows), rel=1e-4)


def test_a_gate_that_always_copies_repeats_the_primer(model):
    primer = SCORE.encode(returning_tune(2))[:-1]
    (piece,) = write(gated(model, l8=60.0), [Primer(primer)], num_pieces=1, num_bars=4, loop_guard=0)
    found = SCORE.align(piece.steps[:-1])
    new = slice(len(primer), None)
    hit = (found.candidates[:-1] == piece.steps[1:-1, None]).all(-1)[:, LAGS.index(8)]
    assert hit[len(primer) :].mean() > 0.9, piece.steps[new]


def test_a_copy_whose_loudness_is_varied_keeps_time_instrument_pitch_and_length(model):
    primer, loudness = SCORE.encode(returning_tune(2))[:-1], np.array([0, 0, 0, 0, 120.0])
    (piece,) = write(
        gated(model, varied=-60 + loudness, l8=60.0), [Primer(primer)], num_pieces=1, num_bars=4, loop_guard=0
    )
    found = SCORE.align(piece.steps[:-1])
    is_same = found.candidates[:-1, LAGS.index(8)] == piece.steps[1:-1]
    assert is_same[len(primer) :, :4].all(-1).mean() > 0.9
    assert is_same[len(primer) :, 4].mean() < 0.5


def test_a_copy_that_a_control_forbids_is_none(model):
    primer = SCORE.encode(returning_tune(2))[:-1]
    pieces = write(
        gated(model, l8=60.0),
        [Primer(primer)],
        num_pieces=2,
        num_notes=30,
        instruments=("Flute",),
        pitch_range=("60", "72"),
    )
    assert_legal(pieces)
    for piece in pieces:
        rows = piece.steps[len(primer) : -1]
        notes = rows[rows[:, 1] < score_rows.START]
        assert set(notes[:, 1]) == {73}
        assert notes[:, 2].min() >= 60
        assert notes[:, 2].max() <= 72


def test_repeat_strength_makes_returns_rare_or_frequent(model):
    primer = SCORE.encode(returning_tune(2))[:-1]

    def share(strength):
        pieces = write(model, [Primer(primer)], num_pieces=4, num_notes=40, repeat_strength=strength, loop_guard=0)
        hits = [
            ((found := SCORE.align(p.steps)).candidates[:-1] == p.steps[1:, None]).all(-1) & found.valid[:-1]
            for p in pieces
        ]
        return np.mean([hit[len(primer) : -1].any(-1).mean() for hit in hits])

    assert share(-50.0) < 0.1
    assert share(8.0) > 0.8


@pytest.mark.parametrize("batch_size", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_the_batch_size_does_not_change_the_music(model, batch_size):
    often, few = gated(model, varied=-1.0, l1=2.0), 40 if batch_size == 40 else 3
    config = SampleConfig(num_pieces=few, batch_size=batch_size, num_notes=60, temperature=1.5, top_p=0.9)
    wanted = write(often, config=config)
    found = generate(*often, SCORE, config)
    assert len(found) == len(wanted) == few
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.steps, other.steps)
