"""Form: which bars of a piece come back, how far away, and how often running.

Each figure can be had cheaply by itself: a piece that loops repeats a lot, a piece of shuffled real bars has many
distinct ones. Together they cannot: loops have few distinct bars and many cycles in a row; shuffled bars have no return
that lasts longer than a bar and no block that coheres. m bars.
"""

import itertools
from collections import Counter

import numpy as np
from jaxtyping import Float

from ostinato.evaluation.metrics.harmony import pitch_class_roll
from ostinato.music.bars import bar_lines
from ostinato.music.piece import Piece, quantize_ticks

LAGS = (1, 2, 4, 8, 16)
"""Bars, at which the longest return is looked for."""

MANY_CYCLES = 4
"""A period that is heard so many times in a row makes a piece that loops."""

_PERIODS = (1, 2, 3, 4, 6, 8, 12, 16)
_STEPS_PER_BEAT = 4
_BLOCK = 4
"""Bars of a phrase, for the coherence of blocks."""

_ALIKE = 0.9
_MIN_BARS = 8
_MAX_BARS = 256

Bar = tuple[tuple[int, int, int, int], ...]


def bars_of(piece: Piece) -> list[Bar]:
    """Returns what is written in each bar: (24ths of a quarter since the bar line, program, pitch, duration) of notes.

    The last bar, which the end may have cut, is left out where there are others.
    """
    notes, lines = piece.notes, bar_lines(piece)
    bar = np.searchsorted(lines, notes.onset, side="right") - 1
    columns = (
        quantize_ticks(notes.onset - lines[bar], piece.ticks_per_quarter, 24),
        notes.program,
        notes.pitch,
        quantize_ticks(notes.duration, piece.ticks_per_quarter, 24),
    )
    content: list[list[tuple[int, int, int, int]]] = [[] for _ in range(len(lines) - 1)]
    for number, *row in zip(bar.tolist(), *(column.tolist() for column in columns), strict=True):
        content[number].append(tuple(row))  # pyright: ignore[reportArgumentType]
    whole = content[:-1] if len(content) > 1 else content
    return [tuple(sorted(one)) for one in whole[:_MAX_BARS]]


def longest_return(bars: list[Bar], lag: int) -> int:
    """Returns how many bars in a row, at most, equal the bar so many bars before; empty bars end a return."""
    longest = run = 0
    for number in range(lag, len(bars)):
        run = run + 1 if bars[number] and bars[number] == bars[number - lag] else 0
        longest = max(longest, run)
    return longest


def most_cycles(bars: list[Bar]) -> float:
    """Returns how many times in a row, at most, some period is heard: 2 where it returns once, right away."""
    return max(((longest_return(bars, period) + period) / period for period in _PERIODS), default=1.0)


def self_similarity(piece: Piece) -> Float[np.ndarray, "m m"]:
    """Returns the cosine of every bar's pitch-class roll with every other's, each bar stretched to the same length."""
    roll = pitch_class_roll(piece, _STEPS_PER_BEAT).astype(np.float64)
    lines = bar_lines(piece)[: _MAX_BARS + 1]
    edges = quantize_ticks(lines, piece.ticks_per_quarter, _STEPS_PER_BEAT)
    size = 4 * _STEPS_PER_BEAT
    rows = np.zeros((len(lines) - 1, size * 12))
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        places = begin + np.arange(size) * max(end - begin, 1) // size
        inside = places < len(roll)
        rows[number].reshape(size, 12)[inside] = roll[places[inside]]
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)
    return rows @ rows.T


def form(piece: Piece) -> dict[str, float]:
    """Returns the figures of form by name; NaN where a piece has fewer than eight bars."""
    bars = bars_of(piece)
    sounding = [bar for bar in bars if bar]
    if len(sounding) < _MIN_BARS:
        return dict.fromkeys(NAMES, np.nan)
    likeness = self_similarity(piece)[: len(bars), : len(bars)]
    place = np.arange(len(bars))
    is_off = place[:, None] != place
    same_block = (place[:, None] // _BLOCK == place // _BLOCK) & is_off
    cycles = most_cycles(bars)
    values = [
        len(set(sounding)) / len(sounding),
        max(Counter(sounding).values()) / len(sounding),
        *(float(longest_return(bars, lag)) for lag in LAGS),
        cycles,
        float(cycles >= MANY_CYCLES),
        float(likeness[same_block].mean() - likeness[is_off & ~same_block].mean()),
        float((likeness[is_off] > _ALIKE).mean()),
        float(likeness[is_off].mean()),
    ]
    return dict(zip(NAMES, values, strict=True))


NAMES = (
    "distinct bars",
    "most frequent bar",
    *(f"longest return at {lag} bars" for lag in LAGS),
    "most cycles in a row",
    "pieces that loop",
    "block coherence",
    "repetition density",
    "off-diagonal similarity",
)
"""distinct bars: their share. most frequent bar: its share. longest return at L bars: bars in a row that equal the bar
L before. most cycles in a row: of any period. pieces that loop: 1 where that is four or more. Of the self-similarity
matrix of bars: block coherence: how much more alike bars of one block of four are than others; repetition density: the
share of pairs above 0.9; off-diagonal similarity: the mean."""
