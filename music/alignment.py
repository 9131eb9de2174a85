"""What was heard some bars ago at each row of a `score` piece: what the copy gate may copy.

Music returns after whole bars. For a row at time T, in bars of b steps, and each lag L of LAGS, the candidate is the
first note row after (T - L b, instrument, pitch) in the order of rows: what followed L bars ago. How often candidates
were right before tells whether music is returning now. All of it is a pure function of the rows so far.

Letters: n rows, l lags, f fields, k kinds of return: of whole rows, and of instrument and pitch alone.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from ostinato.configs.schema import COPY_LAGS
from ostinato.music.bars import bar_length as bar_length_of
from ostinato.music.score_rows import DURATIONS, GRID, METER, NUM_SHIFTS, REST, START

LAGS = COPY_LAGS
"""Bars."""

MEMORY = 2048
"""Note rows that are looked back at, at most."""

RUN_EDGES = (1, 2, 3, 4, 6, 9, 17, 33)
"""Where the classes of `Alignment.run` begin, but for the first: no row in a row."""

RATES = (1 / 8, 1 / 48)
"""What each new row weighs in the two moving averages."""

NUM_KINDS = 2

NUM_BARS, NUM_POSITIONS = 32, 8 * GRID
"""Bars are counted modulo the one; positions in a bar end at the other."""


class Alignment(NamedTuple):
    """What the gate knows at each row, of that row and those before it."""

    candidates: Integer[Any, "*n l f"]
    """Rows that may follow; zeros where there is none."""
    valid: Bool[Any, "*n l"]
    run: Integer[Any, "*n l k"]
    """How many rows in a row, up to this one, were the candidate of the row before; as a class, see RUN_EDGES."""
    rate: Float[Any, "*n l k 2"]
    """Which share of rows were; moving averages with RATES."""
    bar: Integer[Any, "*n"]
    """Bars since the beginning, modulo NUM_BARS."""
    position: Integer[Any, "*n"]
    """Steps since the bar line, at most NUM_POSITIONS - 1."""


def align(steps: Integer[np.ndarray, "n f"], misheard: Bool[np.ndarray, " n"] | None = None) -> Alignment:
    """Returns the alignment of a piece's rows, from START on.

    Args:
        steps: rows of the `score` codec.
        misheard: rows that count as none of the candidates, whatever they are.
    """
    from scipy.signal import lfilter  # takes a third of a second to import, and few need it

    shift, instrument, pitch, duration, velocity = (column.astype(np.int64) for column in steps.T)
    n = len(steps)
    time = np.cumsum(shift + np.where(instrument == REST, DURATIONS[duration], 0))
    bar, position, bar_length = _meter(time, np.flatnonzero(instrument == METER), pitch, velocity)

    is_note = instrument < START
    key = np.where(is_note, instrument * 128 + pitch, -1)
    notes = np.flatnonzero(is_note)
    order = _order(time, key)[notes]
    num_heard = np.cumsum(is_note)
    candidates = np.zeros((n, len(LAGS), steps.shape[1]), steps.dtype)
    valid = np.zeros((n, len(LAGS)), bool)
    for j, lag in enumerate(LAGS if len(notes) else ()):
        then = time - lag * bar_length
        index = np.searchsorted(order, _order(then, key), side="right")
        is_remembered = (num_heard <= MEMORY) | (index > num_heard - MEMORY)
        source = notes[np.minimum(index, len(notes) - 1)]
        wait = time[source] - then
        ok = (then >= 0) & (index < num_heard) & is_remembered & (wait < NUM_SHIFTS)
        candidates[ok, j] = steps[source[ok]]
        candidates[ok, j, 0] = wait[ok]
        valid[:, j] = ok

    hit = np.zeros((*valid.shape, NUM_KINDS), bool)
    is_same = candidates[:-1] == steps[1:, None]
    hit[1:] = np.stack([is_same.all(-1), is_same[..., 1:3].all(-1)], axis=-1) & valid[:-1, :, None]
    if misheard is not None:
        hit &= ~misheard[:, None, None]
    row = np.arange(n)[:, None, None]
    run = row - np.maximum.accumulate(np.where(hit, -1, row), axis=0)
    averages = [lfilter([rate], [1, rate - 1], hit.astype(np.float64), axis=0) for rate in RATES]
    return Alignment(
        candidates=candidates,
        valid=valid,
        run=np.searchsorted(RUN_EDGES, run, side="right").astype(np.uint8),
        rate=np.stack(averages, axis=-1).astype(np.float32),
        bar=(bar % NUM_BARS).astype(np.uint8),
        position=np.minimum(position, NUM_POSITIONS - 1).astype(np.uint8),
    )


def _order(time: Int[np.ndarray, " n"], key: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Returns a number that grows from row to row."""
    return time * 2**15 + key + 1


def _meter(
    time: Int[np.ndarray, " n"], changes: Int[np.ndarray, " m"], numerator: np.ndarray, log_denominator: np.ndarray
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Returns the bar of each row, its steps since the bar line, and the steps of its bar; 4/4 before the first METER.

    A new meter begins a new bar.
    """
    bar, position, bar_length = np.empty_like(time), np.empty_like(time), np.empty_like(time)
    length, origin, first_bar, begin = 4 * GRID, 0, 0, 0
    for change in [*changes.tolist(), len(time)]:
        passed = time[begin:change] - origin
        bar[begin:change], position[begin:change] = first_bar + passed // length, passed % length
        bar_length[begin:change] = length
        if change < len(time):
            first_bar += -(-(int(time[change]) - origin) // length)
            origin, begin = int(time[change]), change
            length = int(bar_length_of(GRID, numerator[change], 1 << log_denominator[change]))
    return bar, position, bar_length
