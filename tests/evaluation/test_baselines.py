import numpy as np
import pytest

from ostinato.evaluation.baselines import LOOK_UP, UNIGRAM, CountingModel, uniform
from ostinato.music.notes_codec import NoteEvent, NotesCodec
from ostinato.music.score_codec import ScoreCodec

NOTES = NotesCodec(vocabulary=tuple(NoteEvent(1, 1, (pitch,)) for pitch in range(60, 65)))  # 8 integers
PIECE = np.array([[0], [3], [4], [3], [4], [3], [1]], np.uint16)


def _random_rows(rng, length):
    """Rows of the score codec's shape, START first."""
    sizes = [field.size for field in ScoreCodec.fields]
    return np.concatenate([[ScoreCodec.start], rng.integers(0, sizes, (length, 5))]).astype(np.uint8)


def test_uniform_costs_the_logarithm_of_the_number_of_values():
    score = uniform([PIECE], NOTES)
    assert score.nats_per_row == pytest.approx(np.log(8))
    assert (score.num_rows, score.num_notes) == (6, 5)
    assert score.nats_per_note == pytest.approx(6 / 5 * np.log(8))


def test_the_unigram_equals_witten_bell_by_hand():
    score = CountingModel("unigram", [PIECE], NOTES, UNIGRAM).score([PIECE])

    # Counts of 3, 4, 1 are 3, 2, 1 of 6, in 3 kinds; twice interpolated: empty context, then no rows of context.
    def witten_bell(count, lower):
        return (count + 3 * lower) / (6 + 3)

    nats = [-np.log(witten_bell(count, witten_bell(count, 1 / 8))) for count in (3, 2, 3, 2, 3, 1)]
    assert score.nats_per_row == pytest.approx(np.mean(nats))
    assert score.accuracy == pytest.approx(3 / 6)


def test_probabilities_of_all_values_add_up_to_one():
    rng = np.random.default_rng(0)
    training = [np.r_[0, rng.integers(3, 8, 30), 1].astype(np.uint16)[:, None] for _ in range(3)]
    model = CountingModel("look-up", training, NOTES, LOOK_UP)
    for history in ([0], [0, 3], [0, *training[0][1:7, 0]], [0, 7, 7, 7, 7, 7, 7]):
        before = np.array(history, np.uint16)[:, None]
        base = model.score([before]).nats_f[0] if len(history) > 1 else 0.0
        ways = [np.append(before, [[value]], axis=0).astype(np.uint16) for value in range(8)]
        assert sum(np.exp(base - model.score([way]).nats_f[0]) for way in ways) == pytest.approx(1)


def test_the_look_up_table_knows_what_it_has_seen_and_nothing_else():
    rng = np.random.default_rng(0)
    codec = ScoreCodec()
    seen, unseen = _random_rows(rng, 400), _random_rows(rng, 400)
    model = CountingModel("look-up", [seen], codec, LOOK_UP)
    assert model.score([seen]).accuracy == 1.0
    assert model.score([unseen]).accuracy < 0.05
    assert model.score([seen]).nats_per_row < 0.4 * model.score([unseen]).nats_per_row


def test_a_leak_between_splits_shows_in_the_accuracy_of_the_look_up_table():
    """The trap of FINDINGS 5: windows of one piece on both sides of a split."""
    rng = np.random.default_rng(1)
    codec = ScoreCodec()
    pieces = [_random_rows(rng, 60) for _ in range(20)]
    honest = CountingModel("look-up", pieces[:16], codec, LOOK_UP).score(pieces[16:])
    leaky_training = [piece[begin : begin + 50] for piece in pieces for begin in (0, 2, 6)]
    leaked = [np.concatenate([[codec.start], piece[9:60]]).astype(np.uint8) for piece in pieces[16:]]
    leaky = CountingModel("look-up", leaky_training, codec, LOOK_UP).score(leaked)
    assert honest.accuracy < 0.05
    assert leaky.accuracy > 0.7


def test_contexts_do_not_reach_over_the_beginning_of_a_piece():
    one, two = PIECE, np.array([[0], [5], [6], [1]], np.uint16)
    model = CountingModel("look-up", [one, two], NOTES, LOOK_UP)
    apart = model.score([one]).nats_f + model.score([two]).nats_f
    np.testing.assert_allclose(model.score([one, two]).nats_f, apart)
    np.testing.assert_allclose(model.score([two, one]).nats_f, apart)
