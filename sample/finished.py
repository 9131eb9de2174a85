"""What is written of a generated piece: all of it or what is new, in the very tempo that was asked for."""

import numpy as np

from ostinato.configs.schema import SampleConfig
from ostinato.music.bars import bar_lines, cut_ticks
from ostinato.music.codec import FOREVER, Codec
from ostinato.music.piece import Notes, Piece, Tempos
from ostinato.sample.generate import Generated

_US_PER_MINUTE = 60_000_000


def finished_piece(generated: Generated, codec: Codec, config: SampleConfig) -> Piece:
    """Returns the piece that `config` asks for, as MIDI, sound and piano roll show it.

    A codec has whole beats per minute; a tempo of 72.5 is generated in 72 and written as it was asked for.
    """
    piece = codec.decode(generated.steps)
    if config.without_primer:
        piece = _without_primer(piece, generated, codec)
    us_per_quarter = piece.tempos.us_per_quarter.tolist()
    if config.tempo and us_per_quarter == [round(_US_PER_MINUTE / round(config.tempo))]:
        tempos = Tempos(piece.tempos.tick, np.array([round(_US_PER_MINUTE / config.tempo)]))
        piece = Piece(piece.notes, tempos, piece.meters, piece.ticks_per_quarter)
    return piece


def num_given_notes(generated: Generated, codec: Codec) -> int:
    """Returns how many notes of a piece are those of its primer."""
    return codec.decode(generated.steps[: generated.num_primer_steps]).num_notes


def new_notes(piece: Piece, generated: Generated, codec: Codec) -> Piece:
    """Returns the piece with the notes that were written after the primer, where they are."""
    first = num_given_notes(generated, codec)  # rows and notes are in the same order
    notes = Notes(*(column[first:] for column in piece.notes))
    return Piece(notes, piece.tempos, piece.meters, piece.ticks_per_quarter)


def _without_primer(piece: Piece, generated: Generated, codec: Codec) -> Piece:
    """Returns what is new, from the bar line at or before the end of the primer, so that bars stay bars."""
    lines = bar_lines(piece, until=generated.primer_end + 1)
    start = lines[lines <= generated.primer_end].max()
    return cut_ticks(new_notes(piece, generated, codec), int(start), int(FOREVER))
