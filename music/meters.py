"""Meters that put MIDI's bar lines where a score has them."""

from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ostinato.music.piece import Meters, Piece


class Meter(NamedTuple):
    numerator: int
    denominator: int

    @property
    def quarters(self) -> Fraction:
        return Fraction(4 * self.numerator, self.denominator)


def meters_of_bars(
    meters: list[tuple[Fraction, Meter]], starts: list[Fraction], lengths: list[Fraction]
) -> list[tuple[Fraction, Meter]]:
    """Returns the meters that put MIDI's bar lines where the score has them.

    MIDI counts bars from the last meter, so a pickup needs a meter of its own: a quarter before 4/4 is 1/4, then 4/4.
    A bar that is only split in two (by a repeat sign or a double bar) needs none, and neither does a short last bar.
    """
    if not meters:
        return []
    result: list[tuple[Fraction, Meter]] = []
    meter = Meter(4, 4)
    changes = dict(meters)  # the last of several at one time
    change_times = sorted(changes)
    bar_lines = set(starts)
    bar_end = Fraction(0)  # of a bar that is split over several measures
    shown: Meter | None = None
    for i, length in enumerate(lengths):
        start = starts[i]
        if start in changes:
            meter, bar_end = changes[start], start
        if start < bar_end or not length:
            continue
        played = meter
        bar_end = start + meter.quarters
        next_change = bisect_right(change_times, start)
        meter_holds = next_change == len(change_times) or change_times[next_change] >= bar_end
        is_last = i + 1 == len(lengths)
        if not (bar_end in bar_lines and meter_holds) and not is_last:
            bar_end = start + length
            played = _meter_of_length(length, meter.denominator)
        if played is not None and played != shown:
            result.append((start, played))
            shown = played
    return result


def _meter_of_length(quarters: Fraction, denominator: int) -> Meter | None:
    """Returns the meter of a bar of this length, with the given denominator or a larger one; None if MIDI has none."""
    while denominator <= 64:
        numerator = quarters / 4 * denominator
        if numerator in range(1, 256):
            return Meter(int(numerator), denominator)
        denominator *= 2
    return None


def with_bars(piece: Piece, quarters: list[Fraction]) -> Piece:
    """Returns the piece with meters that put MIDI's bar lines where the score has them.

    Args:
        piece: its meters are those that are written.
        quarters: where the bars of the score begin as they are played, ascending, in quarters.
    """
    tpq = piece.ticks_per_quarter
    starts = [Fraction(round(quarter * tpq), tpq) for quarter in quarters]
    end = max(Fraction(piece.end_tick, tpq), *starts[-1:])
    lengths = [after - before for before, after in zip(starts, [*starts[1:], end], strict=True)]
    written = [
        (Fraction(tick, tpq), Meter(*meter))
        for tick, *meter in zip(*(column.tolist() for column in piece.meters), strict=True)
    ]
    meters = meters_of_bars(written, starts, lengths)
    columns = ([int(time * tpq) for time, _ in meters], *([meter[i] for _, meter in meters] for i in (0, 1)))
    return replace(piece, meters=Meters(*(np.array(column, np.int64) for column in columns)))
