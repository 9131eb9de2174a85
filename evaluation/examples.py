"""Pieces to see and to hear inside a page: piano rolls and sound as data, beginnings only, to keep the page small."""

import base64
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ostinato.evaluation.samples import Music
from ostinato.music.piece import Meters, Notes, Piece, Tempos
from ostinato.sample.output.audio import write_audio
from ostinato.sample.output.piano_roll import draw_piano_roll
from ostinato.sample.output.roll import page_roll

LONGEST_S = 16.0
"""Of each piece so much is shown."""

PAIRS = 3
"""Pieces of the run that stand beside held-out ones; of each other writer one is shown."""


class Example(NamedTuple):
    """A piece in the page."""

    title: str
    piece: Piece
    identity: str
    """Unlike all others in the page."""
    bar_scores: Sequence[float] = ()
    """What the judge made of each bar; above 0: a machine wrote it."""

    @property
    def note(self) -> str:
        """How long the piece is, and how much of it is shown."""
        shown = "" if self.piece.duration_s <= LONGEST_S + 1 else f"; the first {LONGEST_S:.0f} s"
        return f"{self.piece.num_notes:,} notes, {self.piece.duration_s:.0f} s{shown}"

    def player(self, *, with_audio: bool) -> dict[str, Any]:
        """Returns the arguments of the macro `player`: roll and sound of the beginning of the piece."""
        piece = beginning(self.piece, LONGEST_S)
        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            picture, sound = Path(folder, "roll.png"), Path(folder, "sound.ogg")
            draw_piano_roll(piece, picture, bar_scores=self.bar_scores)
            if with_audio:
                write_audio(piece, sound)
            return {
                "label": f"Piano roll of {self.title}: {piece.num_notes} notes, {piece.duration_s:.0f} seconds",
                "picture": _data("image/png", picture),
                "roll": page_roll(piece, bar_scores=self.bar_scores),
                "sound": _data("audio/ogg", sound) if with_audio else "",
                "sound_label": self.title,
            }


def choose_examples(
    music: Music, names: Mapping[str, str], judged: Mapping[str, Any] | None = None
) -> list[tuple[Example, Example]]:
    """Returns pairs: of the run and a held-out one, then of each other writer and a held-out one, none chosen by ear.

    The first pieces of each writer, which are in no order, beside held-out pieces that are evenly spread.
    `judged` is what `judge_writers` returned.
    """
    real, judged = music.held_out, judged or {"writers": [], "held_out": {}}
    bars = {one["name"]: one["bars"] for one in judged["writers"]}
    wanted = [
        (name, number, piece)
        for writer, (name, pieces) in enumerate(music.written)
        for number, piece in enumerate(pieces[: 1 if writer else PAIRS])
    ]
    pairs = []
    for row, (name, number, piece) in enumerate(wanted):
        place = row * len(real.pieces) // len(wanted)
        title = f"real, {names.get(real.ids[place], real.ids[place][:12])}"
        pairs.append(
            (
                Example(
                    f"{name}, piece {number + 1}", piece, f"written-{row}", bars[name][number] if name in bars else ()
                ),
                Example(title, real.pieces[place], f"real-{row}", judged["held_out"].get(real.ids[place], ())),
            )
        )
    return pairs


def beginning(piece: Piece, seconds: float) -> Piece:
    """Returns the piece up to a time; a note that still sounds there ends there."""
    end = max(int(np.searchsorted(piece.seconds(np.arange(piece.end_tick)), seconds)), 1)
    notes = Notes(*(column[piece.notes.onset < end] for column in piece.notes))
    notes = notes._replace(duration=np.minimum(notes.duration, end - notes.onset))
    tempos = Tempos(*(column[piece.tempos.tick < end] for column in piece.tempos))
    meters = Meters(*(column[piece.meters.tick < end] for column in piece.meters))
    return Piece(notes, tempos, meters, piece.ticks_per_quarter)


def _data(kind: str, path: Path) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
