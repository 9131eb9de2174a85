import numpy as np
import pytest

from ostinato.data import ngrams
from ostinato.data.ngram_files import in_memory
from ostinato.data.ngrams import ORDERS, UNIGRAM

END = 1
FIRST, SECOND = (np.array(values, np.uint16)[:, None] for values in ([0, 3, 4, 3, END], [0, 4, 3, END]))


def _random_pieces(seed, count, num_fields=2):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 40, count)
    return [np.concatenate([[[0] * num_fields], rng.integers(1, 6, (length, num_fields))]) for length in lengths]


def _found(counts, pieces, field, order):
    """What followed the context of each row, as {value: (count, continuations)}."""
    tape = ngrams.make_tape(pieces)
    homes = ngrams.context_hashes(tape, field, 1)
    seen = counts.followers(
        ngrams.context_hashes(tape, field, order), homes if order >= 1 else None, num_values=1 << 16
    )
    answers = [{} for _ in tape.rows]
    for question, value, count, continuations in zip(*seen, strict=True):
        answers[question][int(value)] = (int(count), int(continuations))
    return answers


def test_counts_and_continuations_are_those_of_a_hand_count():
    counts = in_memory([FIRST, SECOND])
    after = _found(counts, [FIRST], 0, 1)
    assert {value: count for value, (count, _) in after[1].items()} == {3: 1, 4: 1}, "START begins with 3 and with 4"
    assert {value: count for value, (count, _) in after[2].items()} == {4: 1, END: 2}, "what followed 3"
    assert {value: count for value, (count, _) in after[3].items()} == {3: 2}, "what followed 4"
    # 3 stands after START and 4, 4 after START and 3, END after 3 alone.
    assert _found(counts, [FIRST], 0, 0)[1] == {3: (3, 2), 4: (2, 2), END: (2, 1)}


def test_discounts_are_those_of_chen_and_goodman():
    counts = in_memory([FIRST, SECOND])
    # Of order 1 three pairs occur once and two twice; Y = 3/7, D_1 = 1 - 2 Y 2/3. Nothing occurs three times: D_2 = Y.
    np.testing.assert_allclose(counts.discounts(0, 1, continuations=False), [0, 3 / 7, 3 / 7, 3 / 7])
    # Of order 0 one value has one context and two have two; Y = 1/5.
    np.testing.assert_allclose(counts.discounts(0, 0, continuations=True), [0, 0.2, 0.2, 0.2])


def test_contexts_do_not_reach_over_the_beginning_of_a_piece():
    pieces = _random_pieces(0, 6)
    one_by_one = in_memory(pieces)
    other_order = in_memory(pieces[::-1])
    for order in ORDERS[1:]:
        assert _found(one_by_one, pieces, 1, order) == _found(other_order, pieces, 1, order)
    alone = [_found(one_by_one, [piece], 0, 8) for piece in pieces]
    assert _found(one_by_one, pieces, 0, 8) == [answer for answers in alone for answer in answers]


@pytest.mark.parametrize("num_parts", [2, 7])
def test_the_number_of_parts_does_not_change_an_answer(num_parts):
    pieces = _random_pieces(1, 30)
    whole, parts = in_memory(pieces), in_memory(pieces, num_parts=num_parts)
    questions = [*pieces[:5], *_random_pieces(2, 5)]
    for field in range(2):
        for order in ngrams.orders_of(field):
            assert _found(whole, questions, field, order) == _found(parts, questions, field, order)
            for continuations in (False, True):
                np.testing.assert_array_equal(
                    whole.discounts(field, order, continuations=continuations),
                    parts.discounts(field, order, continuations=continuations),
                )


def test_continuations_count_the_different_longer_contexts():
    pieces = _random_pieces(3, 20)
    counts = in_memory(pieces)
    tape = ngrams.make_tape(pieces)
    rows, place = [tuple(row) for row in tape.rows.tolist()], tape.position
    for order in (1, 3):
        longer = {}
        for i in np.flatnonzero(place > 0):
            context = tuple(rows[i - back] if back <= place[i] else None for back in range(1, order + 2))
            longer.setdefault((context[:-1], rows[i][:1], rows[i][1]), set()).add(context)
        found = _found(counts, pieces, 1, order)
        for i in np.flatnonzero(place > 0):
            context = tuple(rows[i - back] if back <= place[i] else None for back in range(1, order + 1))
            assert found[i][rows[i][1]][1] == len(longer[context, rows[i][:1], rows[i][1]])


def test_the_last_row_of_a_piece_is_asked_about_as_within_the_whole():
    (piece,) = _random_pieces(4, 1)
    tape = ngrams.make_tape([piece])
    for length in (1, 2, 5, len(piece)):
        last = ngrams.last_rows(piece[None, : length - 1], piece[None, length - 1], length - 1)
        for order in ORDERS:
            assert ngrams.context_hashes(last, 1, order) == ngrams.context_hashes(tape, 1, order)[length - 1]


def test_the_first_field_is_not_counted_twice_without_context():
    assert UNIGRAM not in ngrams.orders_of(0)
    assert UNIGRAM in ngrams.orders_of(1)
