import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.music.codecs import codec_from_json
from ostinato.music.piece import DRUMS, Piece, make_piece
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import DURATIONS, END, MAX_BPM, METER, MIN_BPM, NUM_SHIFTS, REST, START, STYLE, TEMPO
from ostinato.music.score_transforms import scale_tempo, shift_velocity, transpose
from ostinato.music.tempo_range import with_tempos_within
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


def test_a_tempo_and_a_meter_after_the_last_note_are_left_out_also_where_that_note_was_a_double():
    doubled = make_piece(
        onset=[0, 1],
        duration=[9, 9],
        pitch=[60, 60],
        velocity=[64, 64],
        program=[0, 0],
        tempos=([1], [400_000]),
        meters=([1], [3], [4]),
        ticks_per_quarter=24,
    )
    quantised = CODEC.quantise(doubled)
    assert quantised.num_notes == 1
    assert (quantised.tempos.tick.tolist(), quantised.meters.tick.tolist()) == ([0], [0])
    assert CODEC.quantise(quantised) == quantised


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
def test_quantising_moves_no_onset_by_more_than_half_a_step_but_doubles(piece):
    quantised = CODEC.quantise(piece)
    piece = with_tempos_within(piece, MIN_BPM, MAX_BPM, max_beats=32, max_denominator=32)
    exact = np.unique(piece.notes.onset * 24 / piece.ticks_per_quarter)
    later = exact[:, None] - quantised.notes.onset[None, :]
    is_double = (later > 0) & (later < 6.5)  # of a note that began less than a sixteenth before
    assert ((np.abs(later) <= 0.5) | is_double).any(axis=1).all()


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
    moved = CODEC.decode(transpose(steps, -7))
    assert moved.notes.pitch.tolist() == [53, 36]
    np.testing.assert_array_equal(transpose(steps, 68), steps)
    np.testing.assert_array_equal(steps, CODEC.encode(piece))


def is_legal(steps):
    """Tells whether the grammar allows every value, and encoding what the steps say gives them again."""
    grammar, rows = CODEC.grammar, steps.astype(np.int32)
    state = grammar.start(np, 1)
    for row in rows[1:]:
        if not all(grammar.allowed(np, state, row[None], field)[0, row[field]] for field in range(5)):
            return False
        state = grammar.advance(np, state, row[None])
    return np.array_equal(CODEC.encode(CODEC.decode(steps), style=int(steps[1, 2])), steps)


def bpm_of(piece):
    return np.rint(60_000_000 / piece.tempos.us_per_quarter).astype(int)


@st.composite
def rubato(draw):
    """A piece whose tempo changes often and by little, near one end of the range or in its middle."""
    around = draw(st.sampled_from([16, 40, 120, 263]))
    bpm = draw(st.lists(st.integers(max(around - 4, 16), min(around + 4, 263)), min_size=1, max_size=30))
    onset = np.arange(len(bpm)) * 24
    return make_piece(
        onset=onset,
        duration=np.full(len(bpm), 24),
        pitch=np.full(len(bpm), 60),
        velocity=np.full(len(bpm), 64),
        program=np.zeros(len(bpm)),
        tempos=(onset, np.rint(60_000_000 / np.array(bpm))),
        ticks_per_quarter=24,
    )


@given(st.one_of(pieces(), rubato()), st.integers(-50, 50))
@settings(max_examples=300, deadline=None)
def test_scaling_the_tempo_gives_as_many_legal_rows_and_the_piece_in_that_tempo(piece, percent):
    steps, factor = CODEC.encode(piece, style=1), 1 + percent / 100
    scaled = scale_tempo(steps, percent)
    assert scaled.shape == steps.shape
    assert is_legal(scaled)
    before, after = CODEC.decode(steps), CODEC.decode(scaled)
    assert after.notes._asdict().keys() == before.notes._asdict().keys()
    for ours, theirs in zip(after.notes + after.meters, before.notes + before.meters, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(after.tempos.tick, before.tempos.tick)
    bpm = bpm_of(before)
    factor = np.clip(factor, 16 / bpm.min(), 263 / bpm.max())
    assert np.abs(bpm_of(after) - bpm * factor).max() <= 1.5 + 1e-9
    exact = np.floor(bpm * factor + 0.5)
    if (np.diff(exact) != 0).all():
        np.testing.assert_array_equal(bpm_of(after), exact)


def test_tempos_scaled_by_hand():
    def scaled(bpm, percent):
        onset = np.arange(len(bpm)) * 24
        piece = make_piece(
            onset=onset, duration=onset + 1, pitch=onset // 24, velocity=onset + 1, program=onset * 0,
            tempos=(onset, np.rint(60_000_000 / np.array(bpm))), ticks_per_quarter=24,
        )  # fmt: skip
        return bpm_of(CODEC.decode(scale_tempo(CODEC.encode(piece), percent))).tolist()

    assert scaled([100, 60, 90], 10) == [110, 66, 99]
    assert scaled([100, 101, 102, 100], -50) == [50, 51, 52, 50]  # 50, 50.5, 51, 50: 51 would be there twice
    assert scaled([100, 200], 100) == [132, 263]  # 200 may become 263 and no more
    assert scaled([16, 100], -50) == [16, 100]
    assert scaled([17, 16, 17], -50) == [17, 16, 17]


def test_a_piece_that_says_no_tempo_is_scaled_from_120_and_rows_without_tempo_stay():
    piece = make_piece(onset=[0], duration=[24], pitch=[60], velocity=[64], program=[0], ticks_per_quarter=24)
    assert bpm_of(CODEC.decode(scale_tempo(CODEC.encode(piece), 25))).tolist() == [150]
    bare = np.array([CODEC.start, CODEC.end])
    np.testing.assert_array_equal(scale_tempo(bare, 25), bare)


@given(pieces(), st.integers(-64, 64))
@settings(max_examples=150, deadline=None)
def test_shifting_the_velocity_gives_legal_rows_and_the_piece_that_much_louder(piece, amount):
    steps = CODEC.encode(piece, style=1)
    shifted = shift_velocity(steps, amount)
    assert is_legal(shifted)
    before, after = CODEC.decode(steps), CODEC.decode(shifted)
    velocity = np.clip(before.notes.velocity + amount, 1, 127)  # drums too
    assert after == CODEC.quantise(Piece(before.notes._replace(velocity=velocity), before.tempos, before.meters, 24))


@given(pieces(), st.integers(-24, 24))
@settings(max_examples=150, deadline=None)
def test_transposing_gives_legal_rows_and_the_piece_that_much_higher_or_as_it_was(piece, semitones):
    steps = CODEC.encode(piece, style=1)
    moved = transpose(steps, semitones)
    assert is_legal(moved)
    before, after = CODEC.decode(steps), CODEC.decode(moved)
    pitch = before.notes.pitch + semitones * (before.notes.program != DRUMS)
    if pitch.min() < 0 or pitch.max() > 127:
        pitch = before.notes.pitch
    assert after == Piece(before.notes._replace(pitch=pitch), before.tempos, before.meters, 24)


def test_changing_a_piece_leaves_the_steps_that_it_was_given():
    steps = CODEC.encode(
        make_piece(onset=[0], duration=[9], pitch=[60], velocity=[64], program=[0], ticks_per_quarter=24)
    )
    kept = steps.copy()
    shift_velocity(scale_tempo(transpose(steps, 3), 30), 20)
    np.testing.assert_array_equal(steps, kept)


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
