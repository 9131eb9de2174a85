"""A block of a collection: distinct pieces, versions of some of them, and files that cannot be used.

A piece is a row of bars of different real pieces, each in a key of its own, and one note in twelve is another than
there. Two pieces have bars in common by chance only, and seldom more than one, while `relations` asks for as much as
six of fifteen. `measure.judge` counts how many are taken for versions of one another all the same.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from ostinato.benchmarks.growing.bars import TICKS_PER_BAR, TICKS_PER_QUARTER, Bars
from ostinato.benchmarks.growing.midi_files import Headers, ManyNotes, write_many

MAX_BLOCK = 10_000
"""Files."""

VERSIONS = {
    "copy": 0.04,
    "key": 0.03,
    "merged": 0.02,
    "ending": 0.02,
    "missing": 0.01,
    "accompaniment": 0.015,
    "melody": 0.015,
    "performance": 0.03,
}
"""Kinds of versions of a piece of the same block, and their share of all files.

The same bytes; another key, tempo and resolution; all in one track; the last quarter of the bars exchanged; one note in
twenty missing; another accompaniment; the melody alone; as a hand plays it (rubato, uneven chords, loudness, one note
in twelve wrong)."""

DAMAGES = {
    "empty": (0.005, "not_midi"),
    "page": (0.005, "not_midi"),
    "noise": (0.01, "not_midi"),
    "cut": (0.01, "truncated"),
    "short": (0.01, "too_few_notes"),
}
"""Kinds of files that cannot be used, their share of all files, and the reason that `prepare` gives."""

ORIGINAL = "original"
KINDS = (ORIGINAL, *VERSIONS, *DAMAGES)

_MIN_BARS, _MAX_BARS = 9, 15
_LOWEST, _HIGHEST = 28, 100
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))


class Composed(NamedTuple):
    """One file."""

    name: str
    """number-piece-kind.mid; all versions of a piece have its number."""
    kind: str
    """Of KINDS."""
    data: bytes
    num_notes: int
    """0 where it cannot be used."""


class _Plan(NamedTuple):
    """What each file is."""

    kind: Int64[np.ndarray, " f"]
    """Place in KINDS."""
    work: Int64[np.ndarray, " f"]
    """The number of the file in this block that it is a version of; its own where it is none."""
    num_bars: Int64[np.ndarray, " f"]

    def of(self, kind: str) -> Bool[np.ndarray, " f"]:
        return self.kind == KINDS.index(kind)


def compose(bars: Bars, seed: int, block: int, num_files: int) -> list[Composed]:
    """Returns the files of a block; the same for the same arguments, whatever the other blocks."""
    rng = np.random.default_rng([seed, block])
    plan = _plan(rng, num_files)
    notes = _play(bars, rng, plan, seed=seed * 1_000_003 + block)
    headers = Headers(
        ticks_per_quarter=np.where(plan.of("key"), 2 * TICKS_PER_QUARTER, TICKS_PER_QUARTER),
        us_per_quarter=rng.integers(300_000, 900_000, num_files),
        program=rng.integers(0, 96, (num_files, 2)),
    )
    files = write_many(notes, headers)
    counts = np.bincount(notes.file, minlength=num_files)
    composed = []
    for number, (data, kind, work) in enumerate(zip(files, plan.kind.tolist(), plan.work.tolist(), strict=True)):
        name = KINDS[kind]
        source = work if name == "copy" else number
        data = _damage(name, files[source], rng) if name in DAMAGES else files[source]
        first = block * MAX_BLOCK
        file_name = f"{first + number:08d}-{first + work:08d}-{name}.mid"
        composed.append(Composed(file_name, name, data, 0 if name in DAMAGES else int(counts[source])))
    return composed


def _plan(rng: np.random.Generator, num_files: int) -> _Plan:
    shares = {**VERSIONS, **{kind: share for kind, (share, _) in DAMAGES.items()}}
    counts = [round(share * num_files) for share in shares.values()]
    kind = np.repeat(np.arange(len(KINDS)), [num_files - sum(counts), *counts])
    rng.shuffle(kind)
    work, originals = np.arange(num_files), np.flatnonzero(kind == 0)
    is_version = (kind > 0) & (kind <= len(VERSIONS))
    work[is_version] = rng.choice(originals, is_version.sum())
    num_bars = rng.integers(_MIN_BARS, _MAX_BARS + 1, num_files)[work]
    return _Plan(kind, work, np.where(kind == KINDS.index("short"), 1, num_bars))


def _play(bars: Bars, rng: np.random.Generator, plan: _Plan, *, seed: int) -> ManyNotes:
    file, track, place, bar, pitch = _choose_bars(bars, rng, plan)
    # From here on a row for each note.
    lengths = np.diff(bars.begin)[bar]
    row = np.repeat(np.arange(len(bar)), lengths)
    within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    note, file, track = bars.begin[bar][row] + within, file[row], track[row]
    onset, duration = place[row] * TICKS_PER_BAR + bars.onset[note], bars.duration[note]
    pitch = pitch[row] + bars.interval[note]
    # The same notes of a piece are changed in all of its versions; another bar there has other notes changed.
    drawn = _draw(seed, plan.work[file], track, place[row], bar[row], within)
    pitch += np.where(drawn % 12 == 0, drawn // 12 % 9 - 4, 0)
    pitch = _LOWEST + (pitch - _LOWEST) % (_HIGHEST - _LOWEST)  # six octaves

    played = plan.of("performance")[file]
    wrong = played & (rng.random(len(row)) < 1 / 12)
    pitch += np.where(wrong, rng.choice([-2, -1, 1, 2], len(row)), 0)
    swing = TICKS_PER_BAR * np.sin(onset / TICKS_PER_BAR / 1.5 + rng.random(len(plan.kind))[file] * 6)
    hand = onset + 0.25 * swing + rng.integers(0, 24, len(row)) + 0.3 * TICKS_PER_BAR
    onset = np.where(played, np.maximum(hand, 0).astype(np.int64), onset)

    pitch += np.where(plan.of("key"), rng.choice([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5], len(plan.kind)), 0)[file]
    twice = plan.of("key")[file] + 1
    track = np.where(plan.of("merged")[file], 0, track)
    stays = ~plan.of("missing")[file] | (rng.random(len(row)) >= 0.05)
    stays &= ~(plan.of("melody")[file] & (track == 1))
    velocity = rng.integers(50, 100, len(row))
    return ManyNotes(*(column[stays] for column in (file, track, onset * twice, duration * twice, pitch, velocity)))


def _choose_bars(bars: Bars, rng: np.random.Generator, plan: _Plan) -> tuple[np.ndarray, ...]:
    """Returns file, track, place, bar and middle pitch of each bar of each file."""
    num_files = len(plan.kind)
    lines, others = np.flatnonzero(bars.is_line), np.flatnonzero(~bars.is_line)
    shape = (num_files, _MAX_BARS)
    chosen = {kind: (rng.choice(lines, shape), rng.choice(others, shape)) for kind in (ORIGINAL, "other")}
    middles = {kind: rng.integers(-6, 6, (2, *shape)) for kind in (ORIGINAL, "other")}
    place = np.arange(_MAX_BARS)
    exchanged = np.zeros((2, *shape), np.bool_)
    exchanged[:] = plan.of("ending")[:, None] & (place >= plan.num_bars[:, None] * 3 // 4)
    exchanged[1] |= plan.of("accompaniment")[:, None]
    columns = []
    for track, centre in ((0, 72), (1, 52)):
        bar = np.where(exchanged[track], chosen["other"][track], chosen[ORIGINAL][track][plan.work])
        middle = centre + np.where(exchanged[track], middles["other"][track], middles[ORIGINAL][track][plan.work])
        # The accompaniment has a bar wherever a draw of the piece says so: two bars in three.
        sounds = (place < plan.num_bars[:, None]) & ((track == 0) | (chosen[ORIGINAL][0][plan.work] % 3 > 0))
        sounds &= (track == 0) | ~plan.of("short")[:, None]
        file, at = np.nonzero(sounds)
        columns.append((file, np.full(len(file), track), at, bar[sounds], middle[sounds]))
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


def _draw(seed: int, *columns: np.ndarray) -> Int64[np.ndarray, " n"]:
    """Returns numbers without pattern that depend on the columns alone."""
    mixed = np.full(len(columns[0]), seed, np.uint64)
    for column in columns:
        mixed = (mixed ^ column.astype(np.uint64)) * _MIX[0]
        mixed = (mixed ^ mixed >> np.uint64(29)) * _MIX[1]
    return (mixed >> np.uint64(33)).astype(np.int64)


def _damage(kind: str, data: bytes, rng: np.random.Generator) -> bytes:
    match kind:
        case "empty":
            return b""
        case "page":
            return b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>"
        case "noise":
            return b"\x01" + rng.bytes(len(data))
        case "cut":
            return data[: int(rng.integers(8, 40))]  # before any note
    return data
