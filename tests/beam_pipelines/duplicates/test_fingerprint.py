import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.beam_pipelines.duplicates.fingerprint import MIN_FIGURES, PREFIX_NOTES, TELLING, fingerprint
from ostinato.beam_pipelines.duplicates.near import MIN_COMMON_BANDS
from ostinato.beam_pipelines.duplicates.voices import NUM_BANDS, WIDTH
from ostinato.music.piece import DRUMS, Notes, Piece, make_piece
from tests.midi_files import tune

LONG = 400
"""Notes of a tune with enough n-grams for everything."""


def _melody(pitches, *, beat=480, onset=None, program=0):
    count = len(pitches)
    return make_piece(
        onset=np.arange(count) * beat if onset is None else onset,
        duration=np.full(count, beat),
        pitch=pitches,
        velocity=np.full(count, 80),
        program=np.full(count, program),
        ticks_per_quarter=480,
    )


def _tracks(piece):
    notes = piece.notes
    return [Notes(*(column[notes.program == program] for column in notes)) for program in np.unique(notes.program)]


def _change(piece: Piece, **columns) -> Piece:
    notes = piece.notes._asdict()
    return make_piece(**{**notes, **columns}, ticks_per_quarter=piece.ticks_per_quarter)


def _print(piece):
    return fingerprint(piece, _tracks(piece))


def _random_pitches(rng, count):
    return rng.integers(40, 90, count)


def _same(one, other):
    names = ("times", "parts", "voices")
    return one.whole == other.whole and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.parametrize("seed", range(5))
def test_key_tempo_loudness_and_instrument_are_not_seen(seed):
    piece = tune(seed, num_notes=LONG)
    notes = piece.notes
    assert _same(_print(piece), _print(_change(piece, pitch=notes.pitch + 3)))
    assert _same(_print(piece), _print(_change(piece, onset=notes.onset * 2, duration=notes.duration * 3)))
    assert _same(_print(piece), _print(_change(piece, velocity=notes.velocity // 2)))
    assert _same(_print(piece), _print(_change(piece, program=notes.program + 40)))
    assert not _same(_print(piece), _print(tune(seed + 1, num_notes=LONG)))


def test_the_order_of_tracks_and_of_notes_in_them_is_not_seen():
    piece = tune(1, num_notes=LONG)
    tracks = _tracks(piece)
    rng = np.random.default_rng(0)
    mixed = [
        Notes(*(column[order] for column in track))
        for track in tracks[::-1]
        for order in [rng.permutation(len(track.onset))]
    ]
    assert len(tracks) == 2
    assert _same(fingerprint(piece, tracks), fingerprint(piece, mixed))


def test_a_piece_in_one_track_has_the_whole_and_the_first_part_that_it_has_in_several():
    piece = tune(1, num_notes=LONG)
    apart, together = _print(piece), fingerprint(piece, [piece.notes])
    assert apart.whole == together.whole
    assert (apart.parts[0] == together.parts[0]).all()
    assert (len(apart.parts), len(together.parts)) == (3, 1)
    assert {row.tobytes() for row in together.voices} < {row.tobytes() for row in apart.voices}


def test_a_track_has_the_part_that_it_has_as_a_piece_of_its_own():
    piece = tune(1, num_notes=LONG)
    melody, _ = _tracks(piece)
    alone = fingerprint(_change(piece, **melody._asdict()), [melody])
    whole, *tracks = _print(piece).parts.tolist()
    assert alone.parts[0].tolist() in tracks
    assert alone.parts[0].tolist() != whole


def test_pieces_that_differ_behind_the_beginning_share_its_part():
    rng = np.random.default_rng(0)
    pitches = _random_pitches(rng, PREFIX_NOTES + 50)
    other = np.r_[pitches[: PREFIX_NOTES + 1], _random_pitches(rng, 49)]
    one, two = _print(_melody(pitches)), _print(_melody(other))
    assert one.whole != two.whole
    assert (one.parts[0] == two.parts[0]).all()
    other[PREFIX_NOTES] += 1
    assert (_print(_melody(other)).parts[0] != one.parts[0]).all()


def test_drums_beside_pitched_notes_are_seen_by_the_whole_alone():
    piece = tune(1, num_notes=LONG)
    notes = piece.notes
    drums = np.full(50, DRUMS)
    with_drums = _change(
        piece,
        onset=np.r_[notes.onset, np.arange(50) * 77], duration=np.r_[notes.duration, drums],
        pitch=np.r_[notes.pitch, np.full(50, 36)], velocity=np.r_[notes.velocity, drums - 60],
        program=np.r_[notes.program, drums],
    )  # fmt: skip
    assert with_drums.num_notes == piece.num_notes + 50
    alone, beside = _print(piece), _print(with_drums)
    assert alone.whole != beside.whole
    assert np.array_equal(alone.parts, beside.parts)
    assert np.array_equal(alone.voices, beside.voices)
    beat = _melody(_random_pitches(np.random.default_rng(0), 100), program=DRUMS)
    assert len(_print(beat).voices) == 1
    assert not np.array_equal(_print(beat).voices, _print(_change(beat, program=np.zeros(100))).voices)


def test_a_pattern_is_not_telling_and_a_tune_is():
    def tells(pitches):
        return bool(_print(_melody(pitches)).parts[0, 0] & np.uint64(TELLING))

    assert not tells(np.full(500, 60))
    assert not tells(np.tile([36, 48], 100))
    assert not tells(np.tile([36, 43, 45, 41], 100))
    assert not tells(60 + np.arange(MIN_FIGURES + 2) ** 2 // 4)
    assert tells(_random_pitches(np.random.default_rng(0), 40))


def test_short_voices_scales_and_repeated_notes_have_no_bands_and_long_voices_have_those_of_their_halves():
    rng = np.random.default_rng(0)
    for count, voices in ((20, 0), (60, 1), (120, 1), (200, 3)):
        assert _print(_melody(_random_pitches(rng, count))).voices.shape == (voices, WIDTH)
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72])
    assert len(_print(_melody(np.tile(np.r_[scale, scale[::-1]], 20))).voices) == 0
    assert len(_print(_melody(np.repeat(_random_pitches(rng, 60), 4))).voices) == 0


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_the_share_of_common_bands_is_the_square_of_the_share_of_common_ngrams(share):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(100):
        one = _random_pitches(rng, 110)
        same = round(110 * share)
        other = np.r_[one[:same], _random_pitches(rng, 110 - same)]
        (a,), (b,) = _print(_melody(one)).voices, _print(_melody(other)).voices
        found.append((a == b)[:NUM_BANDS].mean())
    in_common = 110 * share - 6
    jaccard = in_common / (2 * 104 - in_common)
    assert abs(np.mean(found) - jaccard**2) < 0.03


def test_unrelated_voices_have_hardly_a_band_in_common():
    rng = np.random.default_rng(0)
    scale = np.cumsum(np.tile([2, 2, 1, 2, 2, 2, 1], 4)) + 48
    walks = [scale[np.cumsum(rng.integers(-2, 3, 110)) % len(scale)] for _ in range(100)]
    bands = np.concatenate([_print(_melody(walk)).voices for walk in walks])[:, :NUM_BANDS]
    assert len(bands) == 100
    common = (bands[:, None] == bands[None]).sum(axis=2) - NUM_BANDS * np.eye(100, dtype=np.int64)
    assert common.max() < MIN_COMMON_BANDS
    assert common.mean() < 0.05


def test_chords_played_by_hand_and_grace_notes_are_not_seen_by_the_bands():
    rng = np.random.default_rng(0)
    top = 70 + rng.integers(0, 15, 200)
    count = len(top)
    pitch = np.r_[top, top - 4, top - 9, top - 1]
    at = np.arange(count) * 480 + 100
    written = np.r_[at, at, at, at]
    played = np.r_[at, at + rng.integers(-25, 26, count), at + rng.integers(-25, 26, count), at - 55]
    one, other = (_print(_melody(pitch, onset=onset)).voices for onset in (written, played))
    assert np.array_equal(one[:, :NUM_BANDS], other[:, :NUM_BANDS])
    late = np.r_[at, at, at, at - 240]
    assert not np.array_equal(_print(_melody(pitch, onset=written)).voices, _print(_melody(pitch, onset=late)).voices)


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 127), st.integers(0, DRUMS)), min_size=1, max_size=60),
    st.integers(1, 32767),
)
def test_any_piece_has_fingerprints(notes, ticks_per_quarter):
    onset, pitch, program = np.array(notes).T
    piece = make_piece(
        onset=onset, duration=np.ones(len(onset)), pitch=pitch, velocity=np.full(len(onset), 64), program=program,
        ticks_per_quarter=ticks_per_quarter,
    )  # fmt: skip
    prints = _print(piece)
    assert 0 <= prints.whole < 2**64
    assert len(prints.parts) >= 1
    assert len({part.tobytes() for part in prints.parts}) == len(prints.parts)
    assert prints.voices.shape[1:] == (WIDTH,)
