"""Lays whole pieces end to end in a few rows, so that one compiled shape serves them all and little is padding.

Axes: t time step, b row, k key.

A piece of T frames takes T - 1 steps: at each, one frame goes in and the next is to be predicted. The first frame of a
piece is never predicted. The state is set to zero where a piece starts, so a piece is read as if it stood alone.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int8, UInt8

from ostinato.benchmarks.rolls.read import NUM_KEYS, Roll


class Steps(NamedTuple):
    """A stretch of all rows."""

    inputs_tbk: UInt8[np.ndarray, "t b k"]
    targets_tbk: UInt8[np.ndarray, "t b k"]
    starts_tb: Bool[np.ndarray, "t b"]
    """True at the first step of a piece."""
    real_tb: Bool[np.ndarray, "t b"]
    """False at the end of rows that are shorter than the longest: these steps count nowhere."""
    shifts_tb: Int8[np.ndarray, "t b"]
    """Semitones by which the piece was transposed."""


def lay_out(
    pieces: Sequence[Roll],
    num_rows: int,
    length: int,
    *,
    shifts: Sequence[int] | None = None,
    order: Sequence[int] = (),
) -> Steps:
    """Returns all steps of all pieces in `num_rows` rows of a multiple of `length` steps.

    The longest piece goes first, each to the row that is the shortest so far; `order` (a permutation of the pieces'
    numbers; as they come by default) is the order within a row.
    """
    shifts = [0] * len(pieces) if shifts is None else shifts
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    row_lengths = np.zeros(num_rows, int)
    for number in sorted(range(len(pieces)), key=lambda n: -len(pieces[n])):
        row = int(row_lengths.argmin())
        rows[row].append(number)
        row_lengths[row] += max(len(pieces[number]) - 1, 0)
    total = -(-int(row_lengths.max()) // length) * length
    steps = Steps(
        np.zeros((total, num_rows, NUM_KEYS), np.uint8),
        np.zeros((total, num_rows, NUM_KEYS), np.uint8),
        np.zeros((total, num_rows), bool),
        np.zeros((total, num_rows), bool),
        np.zeros((total, num_rows), np.int8),
    )
    rank = {number: place for place, number in enumerate(order)}
    for b, numbers in enumerate(rows):
        start = 0
        for number in sorted(numbers, key=lambda n: rank.get(n, n)):
            piece, end = pieces[number], start + len(pieces[number]) - 1
            if end <= start:
                continue  # a single frame predicts nothing
            steps.inputs_tbk[start:end, b] = piece[:-1]
            steps.targets_tbk[start:end, b] = piece[1:]
            steps.starts_tb[start, b] = True
            steps.real_tb[start:end, b] = True
            steps.shifts_tb[start:end, b] = shifts[number]
            start = end
    return steps


def cut(steps: Steps, length: int) -> Iterator[Steps]:
    """Yields stretches of `length` steps, in order: the state after one belongs before the next."""
    for start in range(0, len(steps.starts_tb), length):
        yield Steps(*(field[start : start + length] for field in steps))


def transpose(piece: Roll, semitones: int) -> Roll:
    """Returns the piece `semitones` higher. It must fit on the keyboard, see `possible_shifts`."""
    return np.roll(piece, semitones, axis=1)


def possible_shifts(piece: Roll, most: int) -> tuple[int, int]:
    """Returns the lowest and the highest shift, at most `most` semitones, that keep all notes on the keyboard."""
    keys = np.flatnonzero(piece.any(axis=0))
    if not len(keys):
        return 0, 0
    return -min(most, int(keys[0])), min(most, NUM_KEYS - 1 - int(keys[-1]))
