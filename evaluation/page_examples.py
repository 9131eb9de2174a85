"""Pieces to see and to hear inside a page: piano rolls and sound as data, beginnings only, to keep the page small."""

import base64
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ostinato.evaluation.samples import Music
from ostinato.music.piece import Meters, Notes, Piece, Tempos
from ostinato.report.text import as_html
from ostinato.sample.output.audio import write_audio
from ostinato.sample.output.piano_roll import draw_piano_roll
from ostinato.sample.output.write import roll_times

LONGEST_S = 16.0
"""Of each piece so much is shown."""

PAIRS = 3
"""Pieces of the run that stand beside held-out ones; of each other writer one is shown."""


class Example(NamedTuple):
    """A piece in the page."""

    title: str
    note: str
    piece: Piece
    identity: str
    """Unlike all others in the page."""


def choose_examples(music: Music, names: Mapping[str, str]) -> list[tuple[Example, Example]]:
    """Returns pairs: of the run and a held-out one, then of each other writer and a held-out one, none chosen by ear.

    The first pieces of each writer, which are in no order, beside held-out pieces that are evenly spread.
    """
    real, writers = music.held_out, music.written
    wanted = [
        (name, number, pieces[number]) for name, pieces in writers[:1] for number in range(min(PAIRS, len(pieces)))
    ]
    wanted += [(name, 0, pieces[0]) for name, pieces in writers[1:]]
    pairs = []
    for row, (name, number, piece) in enumerate(wanted):
        place = row * len(real.pieces) // len(wanted)
        written = Example(f"{name}, piece {number + 1}", _length(piece), piece, f"written-{row}")
        other = real.pieces[place]
        title = f"real, {names.get(real.ids[place], real.ids[place][:12])}"
        pairs.append((written, Example(title, _length(other), other, f"real-{row}")))
    return pairs


def example_html(example: Example, *, with_audio: bool) -> str:
    """Returns the roll and the player of the beginning of a piece."""
    piece = beginning(example.piece, LONGEST_S)
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        picture = Path(folder, "roll.png")
        roll = draw_piano_roll(piece, picture)
        image = _data("image/png", picture)
        sound = ""
        if with_audio:
            write_audio(piece, Path(folder, "sound.ogg"))
            sound = (
                f'<audio controls preload="metadata" src="{_data("audio/ogg", Path(folder, "sound.ogg"))}" '
                f'aria-label="{as_html(example.title)}"></audio>'
            )
    label = f"Piano roll of {example.title}: {piece.num_notes} notes, {piece.duration_s:.0f} seconds"
    return f"""<article aria-labelledby="{example.identity}">
<h3 id="{example.identity}">{as_html(example.title)} <span class="soft">{as_html(example.note)}</span></h3>
<div class="roll" tabindex="0" role="region" aria-label="{as_html(label)}">
<div class="sheet" data-times="{as_html(json.dumps(roll_times(piece, roll)["times"]))}">
<img src="{image}" width="{roll.width}" height="{roll.height}" alt="{as_html(label)}">
<span class="line" hidden></span>
</div></div>
{sound}</article>"""


def beginning(piece: Piece, seconds: float) -> Piece:
    """Returns the piece up to a time; a note that still sounds there ends there."""
    end = max(int(np.searchsorted(piece.seconds(np.arange(piece.end_tick)), seconds)), 1)
    notes = Notes(*(column[piece.notes.onset < end] for column in piece.notes))
    notes = notes._replace(duration=np.minimum(notes.duration, end - notes.onset))
    tempos = Tempos(*(column[piece.tempos.tick < end] for column in piece.tempos))
    meters = Meters(*(column[piece.meters.tick < end] for column in piece.meters))
    return Piece(notes, tempos, meters, piece.ticks_per_quarter)


def _length(piece: Piece) -> str:
    shown = "" if piece.duration_s <= LONGEST_S + 1 else f"; the first {LONGEST_S:.0f} s"
    return f"{piece.num_notes:,} notes, {piece.duration_s:.0f} s{shown}"


def _data(kind: str, path: Path) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
