"""Training and scoring, against an LSTM written out in NumPy that reads one piece at a time."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from ostinato.benchmarks.rolls.fit import fit
from ostinato.benchmarks.rolls.model import init_parameters, measure
from ostinato.benchmarks.rolls.network import Regularisation
from ostinato.benchmarks.rolls.read import NUM_KEYS, Rolls
from ostinato.benchmarks.rolls.recipes import Recipe
from ostinato.benchmarks.rolls.score import fit_independent_keys, score_frames

FRAME = Recipe(column="frame", hidden_size=6, num_layers=2, num_epochs=2, num_rows=2, length=8)
CHORD = replace(FRAME, column="chord", head_size=5)
BOTH = pytest.mark.parametrize("recipe", [FRAME, CHORD], ids=["frame", "chord"])


def random_pieces(lengths, seed=0):
    """With silent frames, and one piece that is too short to be scored."""
    rng = np.random.default_rng(seed)
    pieces = [(rng.random((length, NUM_KEYS)) < 0.04).astype(np.uint8) for length in lengths]
    pieces[0][3:5] = 0
    return pieces


PIECES = random_pieces([9, 23, 1, 6, 14])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(layers, frames):
    """Returns the last layer's output after every frame, from a zero state."""
    x = np.concatenate([frames, np.eye(12)[np.zeros(len(frames), int)]], axis=1).astype(np.float64)
    for layer in layers:
        c = h = np.zeros(len(layer.recurrent_kernel))
        outputs = []
        for row in x:
            i, f, g, o = np.split(row @ layer.kernel + h @ layer.recurrent_kernel + layer.bias, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        x = np.stack(outputs)
    return x


def frame_nats_by_hand(head, h, before, after):
    del before
    on = sigmoid(h @ head.kernel + head.bias)
    return -np.log(np.where(after, on, 1 - on)).sum()


def chord_nats_by_hand(head, h, before, after):
    nats, lowest, so_far = 0.0, 0, np.zeros(NUM_KEYS)
    for key in [*np.flatnonzero(after), NUM_KEYS]:
        inside = h @ head.feature_kernel + before @ head.before_kernel + so_far @ head.chosen_kernel + head.bias
        hidden = np.asarray(jax.nn.gelu(inside.astype(np.float32)), np.float64)
        logits = (hidden @ head.output_kernel + head.output_bias)[lowest:]
        nats += np.log(np.exp(logits).sum()) - logits[key - lowest]
        lowest = key + 1
        if key < NUM_KEYS:
            so_far[key] = 1
    return nats


@pytest.mark.slow
@BOTH
def test_the_score_is_that_of_each_piece_read_alone_from_its_start(recipe):
    params = init_parameters(jax.random.key(1), recipe)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    by_hand = {"frame": frame_nats_by_hand, "chord": chord_nats_by_hand}[recipe.column]
    nats = 0.0
    for piece in PIECES:
        if len(piece) > 1:
            features = lstm_by_hand(weights.layers, piece[:-1])
            nats += sum(by_hand(weights.head, *frame) for frame in zip(features, piece[:-1], piece[1:], strict=True))
    score = measure(params, PIECES, recipe, num_rows=2, length=8)
    assert score.frames == 8 + 22 + 0 + 5 + 13
    assert score.nats == pytest.approx(nats, rel=1e-5)


@BOTH
def test_how_pieces_are_laid_out_does_not_change_the_score(recipe):
    params = init_parameters(jax.random.key(2), recipe)
    first, second = (measure(params, PIECES, recipe, num_rows=b, length=t) for b, t in [(2, 8), (1, 64)])
    assert first.frames == second.frames
    assert first.nats == pytest.approx(second.nats, rel=1e-6)


@pytest.mark.slow
@BOTH
def test_training_learns_what_a_model_without_memory_cannot(recipe):
    """Pieces that walk up by a third: which key comes next is known, though each is as frequent as any other."""
    walk = np.eye(NUM_KEYS, dtype=np.uint8)[40 + 4 * np.arange(48) % 12]
    rolls = Rolls([walk[:41], walk[1:42], walk[2:44]], [walk[:20]], [walk[2:30]])
    quick = replace(recipe, hidden_size=16, head_size=16, num_epochs=60, learning_rate=0.03, average_decay=0.9)
    fitted = fit(rolls, quick, seed=0)
    memoryless = score_frames(fit_independent_keys(rolls.train), rolls.test)
    assert fitted.test.frames == memoryless.frames == 27
    assert fitted.test.nats_per_frame < 0.5 * memoryless.nats_per_frame


@pytest.mark.slow
def test_the_test_split_changes_nothing_but_its_own_score():
    dropping = replace(FRAME, regularisation=Regularisation(0.1, 0.2, 0.3), most_shift=3)
    rolls = Rolls(PIECES, random_pieces([8, 7], seed=1), random_pieces([9], seed=2))
    first = fit(rolls, dropping, seed=3)
    second = fit(rolls._replace(test=random_pieces([6, 9], seed=4)), dropping, seed=3)
    assert first.valid == second.valid
    assert first.epoch == second.epoch
    assert first.test != second.test
    for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_the_epoch_with_the_best_validation_score_is_kept():
    """Noise learnt by heart does not help with other noise, so an early epoch is better than the last."""
    rolls = Rolls(PIECES, random_pieces([30], seed=1), random_pieces([9], seed=2))
    ruined = replace(FRAME, num_epochs=12, learning_rate=0.1, average_decay=0.0)
    told = []
    fitted = fit(rolls, ruined, seed=0, told=told.append)
    assert fitted.valid == measure(fitted.params, rolls.valid, ruined)
    assert fitted.test == measure(fitted.params, rolls.test, ruined)
    seen = [float(line.split("valid ")[1].split(",")[0]) for line in told]
    assert len(seen) == 12
    assert fitted.epoch == 1 + int(np.argmin(seen)) < 12
    assert round(fitted.valid.nats_per_frame, 4) == min(seen)
