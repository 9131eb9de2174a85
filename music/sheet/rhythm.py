"""Lengths of time as written notes: which values, which dots, where ties and triplets stand in a bar.

All times are ticks of `GRID` to a quarter, from the start of the bar. Within the bar a note is written as one value
where that leaves the beat visible, and else as several that are tied: a value that crosses the middle of a bar of 4/4,
a beat, half of a beat and so on has to begin and end on the next finer of these; in compound meters nothing but whole
beats crosses a beat. Rests cross nothing but what they fill.

Where something begins or ends on neither a 32nd nor a coarser value, the beat, its half, or the half of a bar is a
triplet: every 24th of a quarter can be said so.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from ostinato.music.meters import Meter

GRID = 24
"""Ticks in a quarter note, as the codec `score` has them."""

_UNITS = 48
"""Written values are counted in 48ths of a quarter: a 64th is 3, in a triplet 1 tick; outside a tick is 2 of them."""

_KINDS = {384: "breve", 192: "whole", 96: "half", 48: "quarter", 24: "eighth", 12: "16th", 6: "32nd", 3: "64th"}
_DOTTED = {units * 3 // 2: kind for units, kind in _KINDS.items() if units > 3}

_PLAIN = 3
"""Ticks of a 32nd, the shortest value outside triplets."""

_Boundary = tuple[int, int]
"""A distance of places in a bar, and on which multiples a note has to begin and end that goes across one; in units."""


class Value(NamedTuple):
    """One written note or rest."""

    onset: int
    ticks: int
    kind: str
    """As MusicXML calls it: quarter, 16th."""
    dots: int
    third: str
    """What a third of the triplet is that it stands in; empty outside."""
    bracket: Literal["", "start", "stop", "startStop"]
    """Whether the triplet begins or ends here."""
    event: int
    """The number of the event that it is a part of."""


class _Region(NamedTuple):
    start: int
    end: int
    is_triplet: bool


def values_of(events: Sequence[tuple[int, int, bool]], length: int, meter: Meter) -> list[Value]:
    """Returns how the events of one voice in one bar are written.

    Args:
        events: (onset, end, is a rest), one after the other without gaps.
        length: of the bar.
        meter: of the bar, which may be longer.
    """
    points = sorted({time for onset, end, _ in events for time in (onset, end)})
    values: list[Value] = []
    for region in _regions(points, length, meter):
        inside = [
            value for number, (onset, end, is_rest) in enumerate(events)
            for value in _in_region(max(onset, region.start), min(end, region.end), region, meter, number, is_rest)
        ]  # fmt: skip
        if region.is_triplet:
            first, last = inside[0], inside[-1]
            inside[0] = first._replace(bracket="start")
            inside[-1] = last._replace(bracket="startStop" if len(inside) == 1 else "stop")
        values += inside
    return values


def _regions(points: list[int], length: int, meter: Meter) -> Iterator[_Region]:
    """Yields the bar in parts: triplets, and what is between them as one."""
    plain_from = 0
    for start, end in _triplets(points, length, meter):
        if plain_from < start:
            yield _Region(plain_from, start, False)
        yield _Region(start, end, True)
        plain_from = end
    if plain_from < length:
        yield _Region(plain_from, length, False)


def _triplets(points: list[int], length: int, meter: Meter) -> Iterator[tuple[int, int]]:
    cell = min(GRID, 4 * GRID // meter.denominator if meter.denominator <= 32 else _PLAIN)
    start = 0
    while start < length:
        half_bar = start + 2 * GRID
        inner = _between(points, start, half_bar)
        is_quarters = cell == GRID and start % (2 * GRID) == 0 and half_bar <= length
        if is_quarters and inner and all((point - start) % 16 == 0 for point in inner):
            yield start, half_bar  # three quarters in the time of two
            start = half_bar
            continue
        end = min(start + cell, length)
        middle = start + cell // 2
        if not _is_plain(points, start, end):
            if cell == GRID and middle in points:
                yield from (half for half in ((start, middle), (middle, end)) if not _is_plain(points, *half))
            else:
                yield start, end
        start = end


def _between(points: list[int], start: int, end: int) -> list[int]:
    """Returns the points inside, without the ends."""
    return [point for point in points[bisect_right(points, start) :] if point < end]


def _is_plain(points: list[int], start: int, end: int) -> bool:
    return (end - start) % _PLAIN == 0 and all((point - start) % _PLAIN == 0 for point in _between(points, start, end))


def _in_region(onset: int, end: int, region: _Region, meter: Meter, event: int, is_rest: bool) -> Iterator[Value]:
    if onset >= end:
        return
    scale, origin, boundaries, third = 2, 0, _boundaries(meter), ""
    if region.is_triplet:
        scale, origin = 3, region.start
        third_units = _power_of_two_below(region.end - region.start)
        boundaries, third = _halves(third_units), _KINDS[third_units]
    if is_rest:
        boundaries = [(distance, distance) for distance, _ in boundaries]
    for first, last in _split(scale * (onset - origin), scale * (end - origin), boundaries):
        units = last - first
        kind, dots = (_KINDS[units], 0) if units in _KINDS else (_DOTTED[units], 1)
        yield Value(first // scale + origin, units // scale, kind, dots, third, "", event)


def _power_of_two_below(ticks: int) -> int:
    """Returns the longest of the values, in units, that is not longer than a third of a triplet of so many ticks."""
    return max(units for units in (48, 24, 12, 6, 3) if units <= max(ticks, 3))


def _halves(units: int) -> list[_Boundary]:
    return [(distance, max(distance // 2, 3)) for distance in (96, 48, 24, 12, 6, 3) if distance <= units]


def _boundaries(meter: Meter) -> list[_Boundary]:
    """Returns where beats, and groups and parts of beats, begin in a meter, the strongest first."""
    unit = 4 * _UNITS // meter.denominator
    if meter.denominator >= 8 and meter.numerator % 3 == 0 and meter.numerator > 3:
        return [(3 * unit, 3 * unit), *_halves(unit)]
    groups = [(2 * unit, unit)] if meter.numerator % 2 == 0 and meter.denominator < 8 else []
    return [*groups, *_halves(unit)]


def _split(start: int, end: int, boundaries: Iterable[_Boundary]) -> Iterator[tuple[int, int]]:
    """Yields the parts in which a length is written, in units."""
    boundaries = list(boundaries)
    cut = None
    for distance, needed in boundaries:
        last = (end - 1) // distance * distance
        if last > start and (start % needed or end % needed):
            cut = (start // distance + 1) * distance if start % needed else last
            break
    if cut is None:
        if end - start in _KINDS or end - start in _DOTTED:
            yield start, end
            return
        inside = [(end - 1) // distance * distance for distance, _ in boundaries]
        cut = next((place for place in inside if place > start), None)
        if cut is None:
            cut = start + max(units for units in _KINDS if units < end - start)
    yield from _split(start, cut, boundaries)
    yield from _split(cut, end, boundaries)
