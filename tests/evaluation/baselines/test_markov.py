import numpy as np
import pytest

from ostinato.data import ngrams
from ostinato.data.ngram_files import in_memory
from ostinato.evaluation.baselines.markov import NgramModel
from ostinato.evaluation.baselines.simple import LONGEST_MATCH, MARKOV, make_baseline
from ostinato.music.notes_codec import NoteEvent, NotesCodec
from ostinato.music.score_codec import ScoreCodec
from tests.midi_files import tune

NOTES = NotesCodec(vocabulary=tuple(NoteEvent(1, 1, (pitch,)) for pitch in range(60, 65)))  # 8 integers
SCORE = ScoreCodec(styles=("calm", "wild"))
END = 1
FEW = in_memory([np.array(values, np.uint16)[:, None] for values in ([0, 3, 4, 3, END], [0, 4, 3, END])])
NAMES = ("unigram", *MARKOV, LONGEST_MATCH)


@pytest.fixture(scope="module")
def tunes():
    return [SCORE.encode(tune(seed), style=seed % 2) for seed in range(8)]


@pytest.fixture(scope="module")
def counts(tunes):
    return in_memory(tunes)


def _last_row(rows):
    """A tape of the last row of an unfinished piece."""
    return ngrams.last_rows(rows[None, :-1], rows[-1:], len(rows) - 1)


def _after(model, *rows):
    """The distribution over the row that follows."""
    return model.probabilities(_last_row(np.array([*rows, 0], np.uint16)[:, None]), 0)[0]


def _assert_legal(codec, rows):
    style = int(rows[1, 2]) if codec is SCORE else 0
    np.testing.assert_array_equal(codec.encode(codec.decode(rows), style), rows)


def test_a_chain_equals_kneser_ney_by_hand():
    model = NgramModel("markov:1", FEW, NOTES, (1, 0), "kneser-ney")
    # Of five different pairs of neighbours two end in 3, two in 4 and one in END; each gives a fifth of a pair away.
    lower = {3: 1.8 / 5 + 0.6 / 5 / 8, 4: 1.8 / 5 + 0.6 / 5 / 8, END: 0.8 / 5 + 0.6 / 5 / 8}
    # After 3 came END twice and 4 once; each gives 3/7 away (test_ngrams).
    assert _after(model, 0, 4, 3)[END] == pytest.approx((2 - 3 / 7) / 3 + 6 / 7 / 3 * lower[END])
    assert _after(model, 0, 4, 3)[3] == pytest.approx(6 / 7 / 3 * lower[3])
    # Nothing ever came after 5: all that is known is what comes after anything.
    np.testing.assert_allclose(_after(model, 0, 5)[[3, 4, END]], [lower[3], lower[4], lower[END]])


def test_a_chain_equals_witten_bell_by_hand():
    model = NgramModel("unigram", FEW, NOTES, (0,), "witten-bell")
    # 3 three times, 4 and END twice: seven rows of three kinds.
    expected = np.full(8, 3 / 8 / 10)
    expected[[3, 4, END]] += np.array([3, 2, 2]) / 10
    np.testing.assert_allclose(_after(model, 0, 4), expected)


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_add_up_to_one_and_none_is_zero(name, counts, tunes):
    model = make_baseline(name, counts, SCORE)
    tape = ngrams.make_tape([tunes[0], SCORE.encode(tune(99))])
    for field in range(5):
        probability = model.probabilities(tape, field)
        np.testing.assert_allclose(probability.sum(1), 1)
        assert probability.min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_legal_rows_add_up_to_one_and_others_are_impossible(name):
    model = make_baseline(name, FEW, NOTES)
    for history in ([0], [0, 3], [0, 5, 5], [0, 3, END]):
        state = NOTES.grammar.start(np, 1)
        for value in history[1:]:
            state = NOTES.grammar.advance(np, state, np.array([[value]], np.int32))
        allowed = NOTES.grammar.allowed(np, state, np.zeros((1, 1), np.int32), 0)
        tape = _last_row(np.array([*history, 0], np.uint16)[:, None])
        (probability,) = model.legal_probabilities(tape, 0, allowed)
        assert probability.sum() == pytest.approx(1)
        assert ((probability > 0) == allowed[0]).all()


@pytest.mark.parametrize("num_notes", [1, 40])
def test_a_chain_writes_legal_pieces_of_the_wanted_length(num_notes, counts):
    for codec, model in (
        (SCORE, make_baseline("markov:1", counts, SCORE)),
        (SCORE, make_baseline("markov:4", counts, SCORE)),
        (NOTES, make_baseline("markov:2", FEW, NOTES)),
    ):
        rows = model.generate(3, num_notes)
        assert int(codec.count_notes(rows).sum()) == num_notes
        _assert_legal(codec, rows)


def test_a_chain_may_end_a_piece_by_itself():
    lengths = [len(make_baseline("markov:2", FEW, NOTES).generate(seed, 0)) for seed in range(20)]
    assert min(lengths) < 8, "as short as what it knows"
    assert all(length < 1000 for length in lengths)


@pytest.mark.parametrize("num_notes", [0, 20])
def test_the_same_seed_writes_the_same_piece_alone_and_beside_others(num_notes, counts):
    model = make_baseline("markov:3", counts, SCORE)
    together = model.generate_all([3, [0, 1], 7], num_notes)
    for seed, piece in zip([3, [0, 1], 7], together, strict=True):
        np.testing.assert_array_equal(piece, model.generate(seed, num_notes))
    assert not np.array_equal(together[0], together[2])


def test_a_chain_writes_what_it_was_taught():
    """A corpus of one piece, read with four rows of context, comes back nearly always."""
    piece = SCORE.encode(tune(5))
    rows = make_baseline("markov:4", in_memory([piece] * 50), SCORE).generate(0, 30)
    notes, taught = (value[SCORE.count_notes(value) > 0] for value in (rows, piece))
    assert (notes == taught[:30]).all(1).mean() > 0.9


def test_a_chain_continues_a_primer(tunes, counts):
    model, primer = make_baseline("markov:2", counts, SCORE), tunes[0][:20]
    rows = model.generate(3, 12, primer)
    np.testing.assert_array_equal(rows[:20], primer)
    assert int(SCORE.count_notes(rows[20:]).sum()) == 12
    _assert_legal(SCORE, rows)
    assert not np.array_equal(rows, model.generate(4, 12, primer))
    np.testing.assert_array_equal(model.generate(3, 40, primer)[:25], model.generate(3, 60, primer)[:25])
