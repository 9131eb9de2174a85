"""Pieces cut so that two sets may be compared: repetition, range and the longest run all grow with length."""

from collections.abc import Sequence

import numpy as np

from ostinato.music.piece import Notes, Piece


def first_notes(piece: Piece, num_notes: int) -> Piece:
    """Returns the piece with its first `num_notes` notes; tempos and meters stay."""
    if piece.num_notes <= num_notes:
        return piece
    return Piece(
        Notes(*(column[:num_notes] for column in piece.notes)), piece.tempos, piece.meters, piece.ticks_per_quarter
    )


def cut_alike(first: Sequence[Piece], second: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Returns both sets, no piece longer than the longest of the other set.

    Samplers are asked for some hundred notes where real pieces have thousands; lengths within that limit stay, since
    where a piece ends is part of what is compared.
    """
    limit = min(max((piece.num_notes for piece in pieces), default=0) for pieces in (first, second))
    return [first_notes(piece, limit) for piece in first], [first_notes(piece, limit) for piece in second]


def median_notes(pieces: Sequence[Piece]) -> float:
    """Returns how many notes the piece in the middle has."""
    return float(np.median([piece.num_notes for piece in pieces]))
