"""Scores are read back note for note, by verovio and by music21, without a warning."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ostinato.music.piece import DRUMS
from ostinato.music.sheet.rounding import Rounded, on_grid
from ostinato.music.sheet.score import to_musicxml
from tests.music.sheet.readers import notes_of, piece_of, read_by_music21, read_by_verovio, seen_by_music21


def _score(piece) -> bytes:
    return to_musicxml(Rounded(piece, False, frozenset()), title="A title")


def _chorale(program=0):
    chords = [(72, 67, 64, 48), (71, 67, 62, 55), (72, 64, 55, 48), (69, 65, 60, 53)]
    notes = [(24 * beat, 24, pitch, program) for beat in range(16) for pitch in chords[beat % 4]]
    return [note for note in notes if note != (24, 24, 67, program)] + [(24, 12, 67, program), (36, 12, 65, program)]


PIECES = {
    "a chorale of four voices": piece_of(_chorale()),
    "a chorale of four instruments": piece_of(
        [(24 * beat, 24, pitch + beat % 3, 40 + part)
            for beat in range(16) for part, pitch in enumerate((72, 67, 60, 48))]
    ),
    "a song with triplets": piece_of(
        [(8 * i, 8, 60 + i % 7, 0) for i in range(24)] + [(192 + 16 * i, 16, 67 - i, 0) for i in range(6)]
        + [(288 + 4 * i, 4, 70 + i % 3, 0) for i in range(12)] + [(48 * i, 48, 45 - i, 33) for i in range(8)]
    ),
    "drums": piece_of(
        [(12 * i, 12, 42, DRUMS) for i in range(16)] + [(48 * i, 24, 36, DRUMS) for i in range(4)]
        + [(24 + 48 * i, 12, 38, DRUMS) for i in range(4)] + [(0, 24, 49, DRUMS), (36, 12, 60, DRUMS)]
    ),
    "a pickup": piece_of(
        [(24 * i, 24, 60 + i, 73) for i in range(9)], meters=[(0, 1, 4), (24, 4, 4)]
    ),
    "changes of meter": piece_of(
        [(12 * i, 12, 60 + i % 12, 0) for i in range(36)], 
        meters=[(0, 4, 4), (96, 3, 4), (168, 6, 8), (240, 5, 8), (300, 2, 2)],
    ),
    "ties over several bars": piece_of([(12, 300, 60, 48), (36, 5, 67, 48), (41, 250, 72, 48), (300, 95, 64, 48)]),
    "rests at the start": piece_of([(204, 36, 65, 56), (250, 3, 66, 56)]),
    "one voice of different lengths": piece_of([(0, 96, 60, 0), (0, 24, 64, 0), (0, 48, 67, 0), (48, 24, 67, 0)]),
    "nothing but a rest before a tuplet": piece_of([(100, 1, 60, 40), (101, 2, 61, 40), (103, 17, 62, 40)]),
}  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_a_score_read_back_has_the_same_notes(name):
    piece = PIECES[name]
    musicxml = _score(piece)
    found = read_by_verovio(musicxml)
    assert notes_of(found) == notes_of(piece)
    assert [column.tolist() for column in found.meters] == [column.tolist() for column in piece.meters]
    assert found.tempos.us_per_quarter.tolist() == [600_000]
    assert read_by_music21(musicxml) == seen_by_music21(piece)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    notes=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 200), st.integers(1, 120), st.integers(24, 100), st.sampled_from([0, 0, 40, 73])),
            st.tuples(st.integers(0, 200), st.integers(1, 120), st.sampled_from([36, 38, 42, 49]), st.just(DRUMS)),
        ),
        min_size=1, max_size=16,
    ),
    meters=st.sampled_from([
        [(0, 4, 4)], [(0, 3, 4)], [(0, 6, 8)], [(0, 12, 8)], [(0, 5, 8)], [(0, 2, 2)], [(0, 7, 16)],
        [(0, 1, 4), (24, 4, 4)], [(0, 4, 4), (96, 3, 8)],
    ]),
)  # fmt: skip
def test_any_piece_on_the_grid_is_read_back(notes, meters):
    piece = on_grid(piece_of(notes, meters))
    musicxml = _score(piece)
    assert notes_of(read_by_verovio(musicxml)) == notes_of(piece)
    assert read_by_music21(musicxml) == seen_by_music21(piece)


# Two voices held the 63 at once: one as long as its chord, the other as the last note.
@example(notes=[(96, 36, 63, 0), (96, 96, 43, 0), (96, 96, 58, 0), (108, 12, 70, 0), (132, 24, 63, 0)], meter=(0, 1, 4))
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    notes=st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 160), st.integers(50, 66), st.just(0)), min_size=1, max_size=16
    ),
    meter=st.sampled_from([(0, 1, 4), (0, 4, 4), (0, 6, 8)]),
)
def test_of_music_played_freely_every_note_is_read_back_in_its_place(notes, meter):
    piece = on_grid(piece_of(notes, [meter]))
    musicxml = to_musicxml(Rounded(piece, True, frozenset({0})), title="A title")
    written, *found = (
        sorted((note[0], note[2]) for note in notes)
        for notes in (notes_of(piece), notes_of(read_by_verovio(musicxml)), read_by_music21(musicxml))
    )
    assert found == [written, written]
