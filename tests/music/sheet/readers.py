"""Reads scores back with two readers: verovio, as `prepare` does, and music21."""

import os
import tempfile
from fractions import Fraction

import verovio

from ostinato.music import notation
from ostinato.music.piece import DRUMS, Piece, make_piece
from ostinato.music.sheet.drums import Place, place_of
from ostinato.music.sheet.rhythm import GRID
from ostinato.music.sheet.rounding import on_grid

Note = tuple[int, int, int, int]
"""Onset and ticks, pitch, program."""


def piece_of(notes: list[Note], meters: list[tuple[int, int, int]] | None = None, tempo: int = 100) -> Piece:
    """Returns a piece of notes on the grid; meters are (tick, numerator, denominator)."""
    onset, duration, pitch, program = zip(*notes, strict=True)
    tick, numerator, denominator = zip(*(meters or [(0, 4, 4)]), strict=True)
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=[80] * len(notes), program=program,
        tempos=([0], [60_000_000 // tempo]), meters=(tick, numerator, denominator), ticks_per_quarter=GRID,
    )  # fmt: skip


def notes_of(piece: Piece) -> list[Note]:
    notes = piece.notes
    columns = (notes.onset, notes.duration, notes.pitch, notes.program)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def read_by_verovio(musicxml: bytes) -> Piece:
    """Returns the piece as our own reader has it; fails if verovio warns."""
    with tempfile.TemporaryFile() as log:
        before = os.dup(2)
        os.dup2(log.fileno(), 2)  # it writes there itself, past Python
        try:
            verovio.enableLog(verovio.LOG_WARNING)
            assert verovio.toolkit().loadData(musicxml.decode())
        finally:
            verovio.enableLog(verovio.LOG_OFF)
            os.dup2(before, 2)
            os.close(before)
        log.seek(0)
        assert log.read() == b""
    return on_grid(notation.read(musicxml, "musicxml"))


def read_by_music21(musicxml: bytes) -> list[Note | tuple[int, int, Place]]:
    """Returns the notes as music21 has them, of drums where they stand: it does not read which ones they are."""
    import music21

    score = music21.converter.parseData(musicxml.decode(), format="musicxml")
    found: list[Note | tuple[int, int, Place]] = []
    for part in score.parts:
        program = part.getInstrument(returnDefault=True).midiProgram or 0
        sounding: dict[tuple[int, int | Place], int] = {}
        """What a tie goes on from: where it ends, and its pitch or place; and its number in `found`."""
        for element in part.flatten().notes:
            onset, ticks = (_ticks(time) for time in (element.offset, element.quarterLength))
            for tone in element.notes if hasattr(element, "notes") else [element]:
                if isinstance(tone, music21.note.Unpitched):
                    what = Place(tone.displayStep, tone.displayOctave, tone.notehead)
                    note = (onset, ticks, what)
                else:
                    what = tone.pitch.midi
                    note = (onset, ticks, what, program)
                number = len(found)
                if tone.tie and tone.tie.type in ("stop", "continue"):
                    number = sounding.pop((onset, what))
                    note = (found[number][0], found[number][1] + ticks, *note[2:])
                found[number:] = [note, *found[number + 1 :]]
                if tone.tie and tone.tie.type in ("start", "continue"):
                    sounding[onset + ticks, what] = number
        assert not sounding
    return sorted(found, key=repr)


def seen_by_music21(piece: Piece) -> list[Note | tuple[int, int, Place]]:
    """Returns what `read_by_music21` should find."""
    return sorted(
        (
            (onset, ticks, place_of(pitch)) if program == DRUMS else (onset, ticks, pitch, program)
            for onset, ticks, pitch, program in notes_of(piece)
        ),
        key=repr,
    )


def _ticks(quarters: float | Fraction) -> int:
    ticks = Fraction(quarters).limit_denominator(10_080) * GRID
    assert ticks.denominator == 1
    return int(ticks)
