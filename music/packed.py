"""A Piece as a few compact bytes, exact and quick to read back: what `prepare` keeps between its two stages.

Layout, little-endian: uint32 ticks per quarter and the numbers of notes n, tempos k and meters m; then the columns, one
after the other, in the dtypes of _NOTES, _TEMPOS and _METERS. A note takes 11 bytes.
"""

import struct
from collections.abc import Sequence

import numpy as np

from ostinato.music.piece import Meters, Notes, Piece, Tempos

_HEADER = struct.Struct("<4I")
# Ticks stay below 2^31 (midi.MAX_TICKS), a note ends where the file ends, and a tempo has 24 bits.
_NOTES = ("<u4", "<u4", "u1", "u1", "u1")
_TEMPOS = ("<u4", "<u4")
_METERS = ("<u4", "u1", "u1")


def pack(piece: Piece) -> bytes:
    """Returns the bytes of a piece that `midi.read` returned."""
    header = _HEADER.pack(piece.ticks_per_quarter, piece.num_notes, len(piece.tempos.tick), len(piece.meters.tick))
    return b"".join((header, *_pack(piece.notes, _NOTES), *_pack(piece.tempos, _TEMPOS), *_pack(piece.meters, _METERS)))


def unpack(data: bytes) -> Piece:
    """Returns the piece that `pack` was given."""
    ticks_per_quarter, num_notes, num_tempos, num_meters = _HEADER.unpack_from(data)
    end, groups = _HEADER.size, []
    for length, dtypes in ((num_notes, _NOTES), (num_tempos, _TEMPOS), (num_meters, _METERS)):
        columns = []
        for dtype in dtypes:
            column = np.frombuffer(data, dtype, length, end)
            columns.append(column.astype(np.int64))
            end += column.nbytes
        groups.append(columns)
    notes, tempos, meters = groups
    return Piece(Notes(*notes), Tempos(*tempos), Meters(*meters), ticks_per_quarter)


def _pack(columns: Sequence[np.ndarray], dtypes: Sequence[str]) -> list[bytes]:
    return [column.astype(dtype).tobytes() for column, dtype in zip(columns, dtypes, strict=True)]
