import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.music.codec import codec_from_json
from ostinato.music.piece import DRUMS, make_piece
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import DURATIONS, END, METER, NUM_SHIFTS, REST, START, STYLE, TEMPO
from tests.strategies import pieces

CODEC = ScoreCodec(styles=("folk", "rock"))


def test_one_bar_written_by_hand():
    piece = make_piece(
        onset=[0, 480, 480, 3360],
        duration=[480, 240, 480, 4800],
        pitch=[60, 64, 36, 67],
        velocity=[64, 1, 127, 100],
        program=[0, 40, DRUMS, 0],
        tempos=([0, 480], [1_000_000, 600_000]),
        meters=([0], [3], [8]),
        ticks_per_quarter=480,
    )
    assert CODEC.encode(piece, style=1).tolist() == [
        [0, START, 0, 0, 0],
        [0, STYLE, 1, 0, 0],
        [0, METER, 3, 0, 3],  # 3/8
        [0, TEMPO, 0, 60 - 16, 0],
        [0, 0, 60, 24 - 1, 16],  # a quarter, velocity 64
        [24, TEMPO, 0, 100 - 16, 0],
        [0, 40, 64, 12 - 1, 0],  # an eighth, together with the new tempo
        [0, DRUMS, 36, 24 - 1, 31],
        [0, REST, 0, 144 - 1, 0],  # six quarters are more than a shift can say
        [0, 0, 67, 193, 25],  # ten quarters
        [0, END, 0, 0, 0],
    ]


def test_a_long_silence_is_rests_and_a_shift():
    gap = 3 * 64 * 24 + 20 * 24 + 5  # three longest rests, twenty quarters, five 24ths
    piece = make_piece(
        onset=[0, gap], duration=[1, 1], pitch=[60, 60], velocity=[64, 64], program=[0, 0], ticks_per_quarter=24
    )
    steps = CODEC.encode(piece)
    rests = steps[steps[:, 1] == REST]
    assert DURATIONS[rests[:, 3]].tolist() == [1536, 1536, 1536, 480]
    assert steps[-2].tolist() == [5, 0, 60, 0, 16]


@given(pieces())
@settings(max_examples=300, deadline=None)
def test_decoding_what_was_encoded_gives_the_quantised_piece(piece):
    quantised = CODEC.quantise(piece)
    steps = CODEC.encode(piece, style=1)
    assert CODEC.decode(steps) == quantised
    assert CODEC.quantise(quantised) == quantised
    np.testing.assert_array_equal(CODEC.encode(quantised, style=1), steps)
    assert int(CODEC.count_notes(steps).sum()) == quantised.num_notes
    assert (steps < [field.size for field in CODEC.fields]).all()


@given(pieces())
@settings(max_examples=100, deadline=None)
def test_quantising_moves_no_onset_by_more_than_half_a_step(piece):
    quantised = CODEC.quantise(piece)
    exact = np.unique(piece.notes.onset * 24 / piece.ticks_per_quarter)
    nearest = np.abs(exact[:, None] - quantised.notes.onset[None, :]).min(axis=1)
    assert (nearest <= 0.5).all()


@given(pieces())
@settings(max_examples=100, deadline=None)
def test_every_encoded_row_is_legal(piece):
    grammar, steps = CODEC.grammar, CODEC.encode(piece, style=1).astype(np.int32)
    state = grammar.start(np, 1)
    for row in steps[1:]:
        for field in range(5):
            assert grammar.allowed(np, state, row[None], field)[0, row[field]], (field, row)
        state = grammar.advance(np, state, row[None])


@given(seed=st.integers(0, 2**32 - 1), crowding=st.sampled_from([1, 3, 1000]))
@settings(max_examples=60, deadline=None)
def test_encoding_what_a_legal_sequence_says_gives_the_sequence(seed, crowding):
    """Draws legal rows, often among the first few legal values so that chords, rests and repeats collide."""
    rng = np.random.default_rng(seed)
    grammar = CODEC.grammar
    state, rows = grammar.start(np, 1), [np.array(CODEC.start)]
    for number in range(120):
        row = np.zeros((1, 5), np.int32)
        for field in range(5):
            values = np.flatnonzero(grammar.allowed(np, state, row, field)[0])
            assert len(values), f"no legal value of field {field} after {rows[-1]}"
            if field == 1 and number < 100:
                values = values[values != END]
            controls = values[values > START] if field == 1 and rng.random() < 0.3 else values
            row[0, field] = rng.choice((controls if len(controls) else values)[:crowding])
        state = grammar.advance(np, state, row)
        rows.append(row[0])
        if row[0, 1] == END:
            break
    last_note = max(i for i, row in enumerate(rows) if row[1] < START or i == 0)
    if last_note == 0:
        return
    steps = np.stack([*rows[: last_note + 1], np.array(CODEC.end)])
    np.testing.assert_array_equal(CODEC.encode(CODEC.decode(steps), style=int(steps[1, 2])), steps)


def test_after_the_end_only_the_end_is_legal():
    grammar = CODEC.grammar
    state = grammar.start(np, 1)
    end = np.array([CODEC.end], np.int32)
    state = grammar.advance(np, state, end)
    for field in range(5):
        assert np.flatnonzero(grammar.allowed(np, state, end, field)[0]).tolist() == [CODEC.end[field]]


def test_transposing_moves_pitches_but_not_drums_and_not_out_of_range():
    piece = make_piece(
        onset=[0, 0], duration=[9, 9], pitch=[60, 36], velocity=[64, 64], program=[0, DRUMS], ticks_per_quarter=24
    )
    steps = CODEC.encode(piece)
    moved = CODEC.decode(CODEC.transpose(steps, -7))
    assert moved.notes.pitch.tolist() == [53, 36]
    np.testing.assert_array_equal(CODEC.transpose(steps, 68), steps)
    np.testing.assert_array_equal(steps, CODEC.encode(piece))


def test_shifts_and_rests_meet_without_a_gap():
    for gap in range(NUM_SHIFTS - 2, 250):
        piece = make_piece(
            onset=[0, gap], duration=[1, 1], pitch=[60, 60], velocity=[64, 64], program=[0, 0], ticks_per_quarter=24
        )
        assert CODEC.decode(CODEC.encode(piece)).notes.onset.tolist() == [0, gap]


def test_the_codec_comes_back_from_json_and_others_are_refused():
    assert codec_from_json(CODEC.to_json()) == CODEC
    with pytest.raises(ValueError, match="codec 'midi2' is not one of score, notes"):
        codec_from_json({"name": "midi2"})
    with pytest.raises(ValueError, match="129 styles found, at most 128"):
        ScoreCodec(styles=tuple(map(str, range(129))))
