"""The bars of a score: where each begins, its meter, and whether the first is a pickup."""

from typing import NamedTuple

import numpy as np

from ostinato.music.bars import bar_length, bar_lines
from ostinato.music.meters import Meter
from ostinato.music.piece import Piece


class Bar(NamedTuple):
    number: int
    """0 is a pickup."""
    start: int
    end: int
    meter: Meter
    """As it is written: that of a pickup is the next bar's."""
    shows_meter: bool
    missing: int
    """How much shorter a pickup is than its meter, in ticks."""


def bars_of(piece: Piece) -> list[Bar]:
    """Returns the bars of a piece, at least one.

    MIDI says a pickup by a meter of its own (1/4 before 4/4); a score, by a bar that is short.
    """
    lines = bar_lines(piece).tolist()
    tick, numerator, denominator = piece.meters
    meters, shown = [], None
    for start in lines[:-1]:
        at = int(np.searchsorted(tick, start, side="right")) - 1
        meters.append(Meter(int(numerator[at]), int(denominator[at])) if at >= 0 else Meter(4, 4))
    is_pickup = (
        len(meters) > 1 and lines[1] < bar_length(piece.ticks_per_quarter, *meters[1]) and meters[0] != meters[1]
    )
    if is_pickup:
        meters[0] = meters[1]
    bars = []
    for index, (start, end, meter) in enumerate(zip(lines, lines[1:], meters, strict=False)):
        is_first_short = is_pickup and index == 0
        missing = int(bar_length(piece.ticks_per_quarter, *meter)) - (end - start) if is_first_short else 0
        bars.append(Bar(index + (not is_pickup), start, end, meter, meter != shown, missing))
        shown = meter
    return bars
