"""A piece of so many bars ends in the last of them, where the model finds an end."""

import jax.numpy as jnp
import numpy as np
import pytest

from ostinato.music.bars import bar_lines
from ostinato.music.cadence import closes, ends_on_chord
from ostinato.music.piece import make_piece
from ostinato.music.score_rows import END, REST, TEMPO
from ostinato.sample import ending
from ostinato.sample.clock import Length, start_clock
from ostinato.sample.generate import Generated, closing
from tests.sample.tiny_models import NOTES, SCORE, assert_legal, leaning, tiny_model, write

OPTIONS = {"num_pieces": 16, "num_bars": 3, "tempo": 120, "meter": "4/4", "instruments": ("Flute",), "ending": True}


@pytest.fixture(scope="module")
def model():
    """Writes many notes in a bar."""
    return leaning(tiny_model(SCORE), output_bias_0={0: 4.0, 12: 4.0})


def test_most_pieces_end_in_their_last_bar_and_none_before(model):
    rare = leaning(model, output_bias_1={END: -1.0})
    cut = write(rare, **{**OPTIONS, "ending": False})
    assert not any(piece.ended for piece in cut)
    pieces = write(rare, **OPTIONS)
    assert_legal(pieces)
    ended = [piece for piece in pieces if piece.ended]
    assert len(ended) > 8
    for piece in ended:
        assert piece.log_probs[-1] < 0
        assert 2 * 96 <= SCORE.decode(piece.steps).notes.onset[-1] < 3 * 96


def test_all_takes_are_equal_until_the_last_bars(model):
    """The piece that is kept is what is written without an end, up to there."""
    pieces, cut = (write(model, **{**OPTIONS, "num_bars": 5, "ending": ends}) for ends in (True, False))
    differing = 0
    for one, other in zip(pieces, cut, strict=True):
        notes, others = (SCORE.decode(piece.steps).notes for piece in (one, other))
        early, early_others = (part.pitch[part.onset < 3 * 96].tolist() for part in (notes, others))
        assert early == early_others
        differing += notes.onset.tolist() != others.onset.tolist()
    assert differing > 4


def test_a_take_closes_better_on_a_chord_then_where_the_model_ended_it_then_where_that_was_likelier():
    def take(*, chord, ended, log_prob):
        last = [60, 64, 67 if chord else 66]
        piece = make_piece(
            onset=[0, 24, 48, 48, 48], duration=[24, 24, 96, 96, 96], pitch=[60, 62, *last], velocity=[80] * 5,
            program=[0] * 5, ticks_per_quarter=24,
        )  # fmt: skip
        steps = SCORE.encode(piece)
        log_probs = np.append(np.full(len(steps) - 1, -1.0), log_prob).astype(np.float32)
        return Generated(steps, 1, ended=ended, log_probs=log_probs, num_loops=0)

    takes = [
        take(chord=False, ended=False, log_prob=0.0),
        take(chord=False, ended=True, log_prob=-9.0),
        take(chord=True, ended=False, log_prob=0.0),
        take(chord=True, ended=True, log_prob=-9.0),
        take(chord=True, ended=True, log_prob=-2.0),
    ]
    keys = [closing(SCORE, one) for one in takes]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.fixture
def takes(model, monkeypatch):
    """Returns all takes of pieces of short notes, for which END is out of reach."""
    never = leaning(model, output_bias_1={END: -60.0}, output_bias_3={11: 7.0})

    def write_all(**options):
        takes: list[Generated] = []

        def keep(codec, piece):
            takes.append(piece)
            return closing(codec, piece)

        monkeypatch.setattr("ostinato.sample.generate.closing", keep)
        assert_legal(write(never, **OPTIONS, **options))
        assert not any(piece.ended for piece in takes)
        return takes

    return write_all


def test_what_sounds_first_in_the_last_bar_is_held_in_half_of_the_takes(takes):
    onsets = [SCORE.decode(piece.steps).notes.onset for piece in takes()]
    in_last_bar = np.reshape([len(np.unique(one[one >= 2 * 96])) for one in onsets], (16, ending.NUM_TAKES))
    free, held = np.split(in_last_bar, 2, axis=1)
    assert held.max() == 1
    assert np.mean(free > 1) > 0.3


def test_what_is_held_is_a_long_consonant_chord(takes):
    def closed(**options):
        pieces = [SCORE.decode(piece.steps) for piece in takes(**options)]
        held = [piece for k, piece in enumerate(pieces) if k % ending.NUM_TAKES >= ending.NUM_TAKES // 2]
        held = [piece for piece in held if piece.notes.onset[-1] >= 2 * 96]
        assert len(held) > 32
        return np.mean([ends_on_chord(piece) for piece in held])

    assert closed(final_chord=False) < 0.2
    assert closed() > 0.6


@pytest.mark.parametrize(
    ("begin", "may_wait"),
    [(96, True), (12, False), (0, True)],  # enough room for a rest; too little; the chord has begun, and may be over
)
def test_near_the_end_a_model_may_wait_rather_than_add_to_a_chord(begin, may_wait):
    piece = make_piece(onset=[0], duration=[24], pitch=[60], velocity=[80], program=[0], ticks_per_quarter=24)
    grammar, steps = SCORE.grammar, SCORE.encode(piece)
    state = grammar.start(np, 1)
    for row in steps[1:-1]:  # from STYLE to the note
        state = grammar.advance(np, state, row[None].astype(np.int32))
    row, begins = np.zeros((1, 5), np.int32), np.array([begin])
    assert grammar.final_chord(np, state, row, 1, begins)[0, REST] == may_wait
    row[0, 1] = TEMPO
    assert grammar.final_chord(np, state, row, 3, begins).all()


def test_a_piece_without_a_length_closes_before_it_has_all_notes(model):
    """END is out of reach, so that nothing but the limit ends it."""
    never = leaning(model, output_bias_1={END: -60.0}, output_bias_3={11: 7.0})
    options = {**OPTIONS, "num_bars": 0, "max_notes": 200}
    cut = write(never, **{**options, "ending": False})
    pieces = write(never, **options)
    assert_legal(pieces)
    assert not any(piece.ended for piece in [*cut, *pieces])
    cut, pieces = ([SCORE.decode(piece.steps) for piece in of] for of in (cut, pieces))
    assert {piece.num_notes for piece in cut} == {200}
    held = [piece for piece in pieces if piece.num_notes < 200]
    assert len(held) > 12
    for piece, other in zip(pieces, cut, strict=True):
        assert piece.num_notes >= 100
        np.testing.assert_array_equal(piece.notes.onset[:20], other.notes.onset[:20])
    assert np.mean([ends_on_chord(piece) for piece in cut]) < 0.3
    assert np.mean([ends_on_chord(piece) for piece in held]) > 0.6


DRUMS_ALONE = {**OPTIONS, "instruments": ("Drums",)}


def test_of_drums_alone_the_takes_that_hold_close_with_a_hit(model):
    never = leaning(model, output_bias_1={END: -60.0, REST: -60.0})
    pieces = write(never, **DRUMS_ALONE)
    assert_legal(pieces)
    assert np.mean([closes(SCORE.decode(piece.steps)) for piece in pieces]) > 0.9


def test_drums_alone_end_by_themselves_in_whole_bars(model):
    """Where END may come anywhere it comes there in some pieces, too."""

    def share(ending):
        options = {**DRUMS_ALONE, "num_bars": 0, "max_notes": 200, "ending": ending}
        ended = [piece for piece in write(leaning(model, output_bias_1={END: 2.0}), **options) if piece.ended]
        assert len(ended) > 8
        return np.mean([are_whole(SCORE.decode(piece.steps)) for piece in ended])

    assert share(ending=True) == 1
    assert share(ending=False) < 0.8


def are_whole(piece):
    """The last note begins on the first beat of a bar or in its last quarter."""
    last, lines = piece.notes.onset[-1], bar_lines(piece, until=piece.notes.onset[-1] + 1)
    return min(last - lines[lines <= last]) <= 4 or min(lines[lines > last] - last) <= 24


def test_the_odds_of_end_are_raised_by_as_much_in_rows_of_several_fields(model):
    """Of P(time shift 0) times P(END | time shift 0), and of nothing else."""
    network, params = model
    features = jnp.asarray(np.random.default_rng(0).normal(size=(4, network.config.hidden_size)), jnp.float32)
    parts = network.apply({"params": params}, features, method=type(network).field_parts)
    end = jnp.tile(jnp.asarray([SCORE.end]), (4, 1))
    is_last = jnp.array([True, True, False, True])
    bias = ending.end_bias(network, params, SCORE, parts, is_last)
    logits = [
        np.asarray(network.apply({"params": params}, parts[j], end, j, method=type(network).field_logits), np.float64)
        for j in range(2)
    ]

    def odds(raised):
        shift, kind = (np.exp(x + (np.asarray(bias[j]) if raised else 0)) for j, x in enumerate(logits))
        p = shift[:, 0] / shift.sum(1) * kind[:, END] / kind.sum(1)
        return p / (1 - p)

    np.testing.assert_allclose(np.log(odds(True) / odds(False)), [6, 6, 0, 6], atol=1e-4)


def test_takes_draw_evenly_distributed_numbers_from_the_last_bars_on(model):
    clock = start_clock(24, 4)._replace(bars=jnp.array([0, 2, 3, 3]))
    length = Length(jnp.int32(4), jnp.float32(1e9), jnp.int32(10**9))
    uniform, take = jnp.array([[0.1], [0.1], [0.1], [0.9]]), jnp.full((4,), 0.25)
    moved = ending.take_of(uniform, take, jnp.bool_(True), length, clock)
    np.testing.assert_allclose(moved[:, 0], [0.1, 0.35, 0.35, 0.15], atol=1e-6)
    np.testing.assert_array_equal(ending.take_of(uniform, take, jnp.bool_(False), length, clock), uniform)


def test_rows_of_one_field_end_likewise():
    pieces = write(tiny_model(NOTES), codec=NOTES, num_pieces=8, num_bars=2, ending=True)
    assert_legal(pieces, NOTES)
    assert any(piece.ended for piece in pieces)
