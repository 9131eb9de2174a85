"""A piece as numbers that a page can draw and play, in JSON: notes, bar lines, and what time it is at each tick."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ostinato.music.bars import bar_lines
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DEFAULT_TEMPO_US, Piece


def roll_of(piece: Piece) -> dict[str, Any]:
    """Returns all of a piece: `notes` are [onset, length, pitch, velocity, program], in ticks; see `timing_of`."""
    return {"notes": note_rows(piece), **timing_of(piece)}


def page_roll(piece: Piece, *, primer_ticks: int = 0, bar_scores: Sequence[float] = ()) -> dict[str, Any]:
    """Returns what the macro `player` draws: all of a piece, and what is marked on it.

    Args:
        piece: the music.
        primer_ticks: where what was given ends.
        bar_scores: of each bar; those above 0 are tinted, 4 and more the most. There may be more, of a longer piece.
    """
    names = {program: instrument_name(program) for program in np.unique(piece.notes.program).tolist()}
    scores = [round(float(score), 3) for score in bar_scores]
    return {**roll_of(piece), "primer_ticks": primer_ticks, "scores": scores, "names": names}


def note_rows(piece: Piece) -> list[list[int]]:
    """Returns [onset tick, ticks, pitch, velocity, program] of each note, by onset."""
    return np.stack(piece.notes, axis=1).tolist()


def timing_of(piece: Piece) -> dict[str, Any]:
    """Returns what is needed to place ticks: `tempos` are [tick, its second, seconds in a tick from there on]."""
    tick, us_per_quarter = piece.tempos
    if not len(tick) or tick[0] > 0:
        tick, us_per_quarter = np.r_[0, tick], np.r_[DEFAULT_TEMPO_US, us_per_quarter]
    seconds = piece.seconds(tick)
    pace = us_per_quarter * 1e-6 / piece.ticks_per_quarter
    return {
        "tempos": [list(row) for row in zip(tick.tolist(), seconds.tolist(), pace.tolist(), strict=True)],
        "bars": bar_lines(piece).tolist(),
        "end": piece.end_tick,
        "ticks_per_quarter": piece.ticks_per_quarter,
        "seconds": round(piece.duration_s, 3),
    }


def summary_of(piece: Piece) -> dict[str, Any]:
    """Returns what the history says about a piece."""
    us_per_quarter = piece.tempos.us_per_quarter if len(piece.tempos.tick) else np.array([DEFAULT_TEMPO_US])
    meters = zip(piece.meters.numerator.tolist(), piece.meters.denominator.tolist(), strict=True)
    return {
        "notes": piece.num_notes,
        "bars": len(bar_lines(piece)) - 1,
        "seconds": round(piece.duration_s, 3),
        "tempos": sorted({round(60e6 / us) for us in us_per_quarter.tolist()}),
        "meters": list(dict.fromkeys(f"{numerator}/{denominator}" for numerator, denominator in meters)),
        "instruments": [instrument_name(program) for program in np.unique(piece.notes.program).tolist()],
    }
