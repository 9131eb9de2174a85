"""What new pieces begin with: a MIDI file, a folder of them, or the training split of a dataset."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.data.records import Dataset
from ostinato.music import midi, notation
from ostinato.music.bars import bar_length, bar_lines, cut_ticks, ticks_of_bars
from ostinato.music.codec import Codec
from ostinato.music.midi import MIDI_SUFFIXES
from ostinato.music.notation_error import NotationError
from ostinato.music.piece import DRUMS, Meters, Notes, Piece, Tempos
from ostinato.sample.controls import style_number
from ostinato.sample.parse import parse_meter

logger = logging.getLogger(__name__)

PRIMER_SUFFIXES = (*MIDI_SUFFIXES, *notation.KINDS)
"""Endings of the files of a folder that pieces begin with."""

_US_PER_MINUTE = 60_000_000


class Primer(NamedTuple):
    """What a piece begins with."""

    steps: Integer[np.ndarray, "n f"]
    """From START on, without END."""
    end: int = 0
    """Steps of the grid from START before which nothing new begins; 0 lets it follow the last row at once."""


def load_primers(path: str, codec: Codec, config: SampleConfig) -> list[Primer]:
    """Returns the beginnings of pieces; none for an empty path.

    Each is `config.primer_bars` bars from bar `config.primer_start`, or the first `config.primer_notes` notes from
    there, in the tempo, meter and style that `config` asks for, if it does. Bars end at their last bar line, however
    early their last note begins, and bars after the end of the music are rests.

    Args:
        path: a MIDI file or a score, a folder of them (in the order of their names), or a dataset, from whose training
            split `config.num_pieces` pieces are drawn by `config.seed`.
        codec: of the model.
        config: what is taken of each piece.

    Raises:
        UserError: there is no such file, it is not MIDI, it has no such bar, or it was prepared with another codec.
    """
    if not path:
        return []
    folder = Path(path)
    if (folder / "manifest.json").is_file():
        dataset = Dataset.open(folder)
        if dataset.codec.to_json() != codec.to_json():
            raise UserError(f"{path}: was prepared with another codec than the model's; give the model's own dataset")
        source = dataset.source("train")
        chosen = np.random.default_rng(config.seed).choice(
            len(source), size=config.num_pieces, replace=config.num_pieces > len(source)
        )
        found = [source[int(i)] for i in chosen]
        return [
            _beginning(record.steps, _style(record.style, codec), f"{path}: {record.id[:12]}", codec, config)
            for record in found
        ]
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PRIMER_SUFFIXES)
    files = files[: config.num_pieces] if folder.is_dir() else [folder]
    if not files or not all(file.is_file() for file in files):
        raise UserError(f"{path}: neither a MIDI file, a folder with MIDI files, nor a finished dataset")
    style = style_number(config.style, codec)
    return [
        _beginning(_steps(read_piece(file), codec, config, style), style, str(file), codec, config) for file in files
    ]


def read_piece(file: Path) -> Piece:
    """Returns the piece in a MIDI file, or in a score whose ending is one of `notation.KINDS`.

    Raises:
        UserError: it cannot be read; the message names the file.
    """
    try:
        kind = notation.KINDS.get(file.suffix.lower())
        return notation.read(file.read_bytes(), kind) if kind else midi.read(file.read_bytes())
    except (midi.MidiError, NotationError, OSError) as error:
        raise UserError(f"{file}: {error}") from error


def _steps(piece: Piece, codec: Codec, config: SampleConfig, style: int) -> Integer[np.ndarray, "n f"]:
    """Returns the steps of a file; where bars are taken, with the meters and tempos of the rests at its end."""
    if not config.primer_bars:
        return codec.encode(piece, style)
    end = max(piece.end_tick, *piece.tempos.tick.tolist(), *piece.meters.tick.tolist())
    return np.concatenate([_encode_until(piece, end, codec, style), [codec.end]])


def _beginning(steps: Integer[np.ndarray, "n f"], style: int, name: str, codec: Codec, config: SampleConfig) -> Primer:
    """Returns the bars or notes that are wanted."""
    end = 0
    if config.primer_bars or config.primer_start > 1 or config.tempo or config.meter or config.style:
        piece = _as_asked(codec.decode(steps), config)
        try:
            start, end = _ticks_of_bars(piece, config.primer_start, config.primer_bars, name)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        piece, end = cut_ticks(piece, start, end), end - start
        if not piece.num_notes:
            raise UserError(f"{name}: no note begins in the bars that are wanted; see --primer-start, --primer-bars")
        style = style_number(config.style, codec) if config.style else style
        if config.primer_bars:
            return Primer(_with_silence(_encode_until(piece, end, codec, style), end, codec), end)
        steps = codec.encode(piece, style)
    enough = np.flatnonzero(np.cumsum(codec.count_notes(steps)) >= config.primer_notes)
    steps = steps[: enough[0] + 1] if len(enough) else steps[:-1]
    return Primer(steps, int(codec.decode(steps).notes.onset.max(initial=0)))


def _ticks_of_bars(piece: Piece, first_bar: int, num_bars: int, name: str) -> tuple[int, int]:
    """Returns where bars begin and end, as `ticks_of_bars`, but counts on after the end of the piece.

    Raises:
        UserError: not even the first bar is there.
    """
    num_there, last_bar = len(bar_lines(piece)) - 1, first_bar + num_bars - 1
    if last_bar <= num_there or first_bar > num_there:
        return ticks_of_bars(piece, first_bar, num_bars)
    logger.info("%s: has %d bars; those up to bar %d are rests", name, num_there, last_bar)
    tick, numerator, denominator = piece.meters
    longest = bar_length(piece.ticks_per_quarter, np.append(numerator, 4), np.append(denominator, 4)).max()
    lines = bar_lines(piece, until=int(tick.max(initial=0) + last_bar * longest))
    return int(lines[first_bar - 1]), int(lines[last_bar])


def _encode_until(piece: Piece, tick: int, codec: Codec, style: int) -> Integer[np.ndarray, "n f"]:
    """Returns the steps of a piece that lasts until a tick, without END: rests at its end keep their meters and tempos.

    A codec says nothing after the last note. Here another note stands for the end, and is left out again.
    """
    notes = piece.notes
    sounds = set(zip(notes.program.tolist(), notes.pitch.tolist(), strict=True))
    program, pitch = next((p, q) for p in range(DRUMS) for q in range(128) if (p, q) not in sounds)
    last = {"onset": tick, "duration": 1, "pitch": pitch, "velocity": 1, "program": program}
    marked = Notes(**{name: np.append(getattr(notes, name), value) for name, value in last.items()})
    steps = codec.encode(Piece(marked, piece.tempos, piece.meters, piece.ticks_per_quarter), style)[:-2]
    is_rest = codec.grammar.elapsed(np, steps.astype(np.int64)).rest > 0
    return steps[: np.flatnonzero(~is_rest)[-1] + 1]


def _with_silence(steps: Integer[np.ndarray, "n f"], end: int, codec: Codec) -> Integer[np.ndarray, "m f"]:
    """Returns the steps with as much silence after them as leaves the first new row a gap that the codec can say."""
    if codec.silence is None:
        return steps
    row = np.array([codec.silence])
    gap, now = (int(codec.grammar.elapsed(np, rows.astype(np.int64)).time_shift.sum()) for rows in (row, steps))
    return np.concatenate([steps, *[row] * ((end - now - 1) // gap)])


def _style(name: str, codec: Codec) -> int:
    return codec.styles.index(name) if name in codec.styles else 0


def _as_asked(piece: Piece, config: SampleConfig) -> Piece:
    """Returns the piece in one tempo and one meter where they are asked for."""
    tempos, meters = piece.tempos, piece.meters
    if config.tempo:
        tempo = np.clip(round(config.tempo), 1, 1000)  # what the codec cannot say `make_controls` refuses
        tempos = Tempos(np.array([0]), np.array([round(_US_PER_MINUTE / tempo)]))
    if config.meter:
        numerator, denominator = parse_meter(config.meter)
        meters = Meters(np.array([0]), np.array([numerator]), np.array([denominator]))
    return Piece(piece.notes, tempos, meters, piece.ticks_per_quarter)
