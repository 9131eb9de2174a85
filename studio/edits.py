"""Notes that a musician edited or played on the page: from JSON to a piece, or one line that says why not."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from msgspec import Meta

from ostinato.configs.documents import parse_document
from ostinato.configs.errors import UserError
from ostinato.music.codec import Codec
from ostinato.music.piece import DRUMS, Piece, make_piece
from ostinato.sample.parse import parse_meter
from ostinato.sample.primers import read_piece

MAX_NOTES, MAX_QUARTERS = 50_000, 20_000
"""Of a piece; a few hours. Far-off events would make rows of rests without number."""

_LIMITS = {
    "begins at tick": (0, 2**31 - 1), "is as many ticks long as": (1, 2**31 - 1), "has the pitch": (0, 127),
    "has the velocity": (1, 127), "has the program": (0, DRUMS),
}  # fmt: skip
"""Of the numbers of a note."""
_Notes = Annotated[list[tuple[int, int, int, int, int]], Meta(min_length=1, max_length=MAX_NOTES)]
_PLAYED_GRID = 24
"""Ticks of a quarter note of what was played."""


class _Edited(TypedDict):
    piece: NotRequired[str]
    upload: NotRequired[Any]
    notes: _Notes


class _Played(TypedDict):
    tempo: Annotated[float, Meta(ge=16, le=263)]
    meter: str
    notes: _Notes


class Edited(NamedTuple):
    """A piece that was edited, and what it was made from."""

    piece: Piece
    source: Path


def parse_edited(
    body: bytes, codec: Codec, find_piece: Callable[[str], Path | None], find_upload: Callable[[object], Path]
) -> Edited:
    """Returns the piece that {"piece": ID or "upload": {"name", "sha256"}, "notes": […]} means, on the codec's grid.

    Tempo and meter are those of the piece that was edited, and so are the ticks of the notes, as `roll.note_rows` gave
    them.

    Raises:
        UserError: that piece is gone, or something in it is no note; in one line.
    """
    asked = parse_document(body, _Edited, where="the request")
    source = find_piece(asked["piece"]) if "piece" in asked else find_upload(asked.get("upload"))
    if source is None:
        raise UserError("the piece that was edited is not there any more")
    before = read_piece(source)
    before = before if "piece" in asked else codec.quantise(before)
    piece = _with_notes(before, asked["notes"])
    return Edited(codec.quantise(piece), source)


def parse_played(body: bytes) -> Piece:
    """Returns the piece that {"tempo", "meter", "notes": […]} means; 24 ticks are a quarter note.

    Raises:
        UserError: something in it is no note, no tempo or no meter; in one line.
    """
    asked = parse_document(body, _Played, where="the request")
    numerator, denominator = parse_meter(asked["meter"])
    nothing: tuple[int, ...] = ()
    empty = make_piece(
        onset=nothing, duration=nothing, pitch=nothing, velocity=nothing, program=nothing,
        tempos=([0], [round(60e6 / asked["tempo"])]), meters=([0], [numerator], [denominator]),
        ticks_per_quarter=_PLAYED_GRID,
    )  # fmt: skip
    return _with_notes(empty, asked["notes"])


def check_size(piece: Piece, name: str) -> None:
    """Refuses more than a model is to read.

    Raises:
        UserError: there are too many notes, or they reach too far.
    """
    quarters = int(np.max(np.r_[piece.end_tick, piece.tempos.tick, piece.meters.tick])) / piece.ticks_per_quarter
    if piece.num_notes > MAX_NOTES or quarters > MAX_QUARTERS:
        raise UserError(
            f"{name}: {piece.num_notes:,} notes in {quarters:,.0f} quarter notes; "
            f"at most {MAX_NOTES:,} in {MAX_QUARTERS:,} are taken"
        )


def _with_notes(piece: Piece, notes: Sequence[tuple[int, int, int, int, int]]) -> Piece:
    for i, note in enumerate(notes, start=1):
        for value, (words, (low, high)) in zip(note, _LIMITS.items(), strict=True):
            if not low <= value <= high:
                raise UserError(f"note {i} {words} {value}; allowed is {low} to {high}")
    onset, duration, pitch, velocity, program = zip(*notes, strict=True)
    made = make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=velocity, program=program,
        tempos=piece.tempos, meters=piece.meters, ticks_per_quarter=piece.ticks_per_quarter,
    )  # fmt: skip
    check_size(made, "the request")
    return made
