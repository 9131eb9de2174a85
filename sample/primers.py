"""What new pieces begin with: a MIDI file, a folder of them, or the training split of a dataset."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.data.records import Dataset
from ostinato.music import midi, notation
from ostinato.music.bars import cut_bars
from ostinato.music.codec import Codec
from ostinato.music.midi import MIDI_SUFFIXES
from ostinato.music.piece import Meters, Piece, Tempos
from ostinato.sample.controls import style_number
from ostinato.sample.parse import parse_meter

PRIMER_SUFFIXES = (*MIDI_SUFFIXES, *notation.KINDS)
"""Endings of the files of a folder that pieces begin with."""

_US_PER_MINUTE = 60_000_000


def load_primers(path: str, codec: Codec, config: SampleConfig) -> list[Integer[np.ndarray, "n f"]]:
    """Returns the beginnings of pieces, from START on, without END; none for an empty path.

    Each is `config.primer_bars` bars from bar `config.primer_start`, or the first `config.primer_notes` notes from
    there, in the tempo, meter and style that `config` asks for, if it does.

    Args:
        path: a MIDI file or a score, a folder of them (in the order of their names), or a dataset, from whose training
            split `config.num_pieces` pieces are drawn by `config.seed`.
        codec: of the model.
        config: what is taken of each piece.

    Raises:
        UserError: there is no such file, it is not MIDI, it has not so many bars, or it was prepared with another
            codec.
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
    return [_beginning(codec.encode(read_piece(file), style), style, str(file), codec, config) for file in files]


def read_piece(file: Path) -> Piece:
    """Returns the piece in a MIDI file, or in a score whose ending is one of `notation.KINDS`.

    Raises:
        UserError: it cannot be read; the message names the file.
    """
    try:
        kind = notation.KINDS.get(file.suffix.lower())
        return notation.read(file.read_bytes(), kind) if kind else midi.read(file.read_bytes())
    except (midi.MidiError, notation.NotationError, OSError) as error:
        raise UserError(f"{file}: {error}") from error


def _beginning(
    steps: Integer[np.ndarray, "n f"], style: int, name: str, codec: Codec, config: SampleConfig
) -> Integer[np.ndarray, "m f"]:
    """Returns the steps of the bars or notes that are wanted, never END."""
    if config.primer_bars or config.primer_start > 1 or config.tempo or config.meter or config.style:
        try:
            piece = cut_bars(codec.decode(steps), config.primer_start, config.primer_bars)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
        if not piece.num_notes:
            raise UserError(f"{name}: no note begins in the bars that are wanted; see --primer-start, --primer-bars")
        style = style_number(config.style, codec) if config.style else style
        steps = codec.encode(_as_asked(piece, config), style)
    if config.primer_bars:
        return steps[:-1]
    enough = np.flatnonzero(np.cumsum(codec.count_notes(steps)) >= config.primer_notes)
    return steps[: enough[0] + 1] if len(enough) else steps[:-1]


def _style(name: str, codec: Codec) -> int:
    return codec.styles.index(name) if name in codec.styles else 0


def _as_asked(piece: Piece, config: SampleConfig) -> Piece:
    """Returns the piece in one tempo and one meter where they are asked for."""
    tempos, meters = piece.tempos, piece.meters
    if config.tempo:
        tempos = Tempos(np.array([0]), np.array([round(_US_PER_MINUTE / config.tempo)]))
    if config.meter:
        numerator, denominator = parse_meter(config.meter)
        meters = Meters(np.array([0]), np.array([numerator]), np.array([denominator]))
    return Piece(piece.notes, tempos, meters, piece.ticks_per_quarter)
