"""The pictures of a dataset's page: a histogram of each thing that is counted.

`report.plots` loads matplotlib; it is imported where it draws, since prepare's workers never do.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup
from pretty_midi.constants import DRUM_MAP

from ostinato.beam_pipelines.text import duration_text, hours_text, note_name, share_text
from ostinato.data.statistics import BPM_BIN, MAX_POLYPHONY, NOTE_LENGTHS, Statistics, quartiles

_FIRST_DRUM = 35
"""The key of DRUM_MAP's first name."""

_BINS_128 = np.arange(129) - 0.5


class Chart(NamedTuple):
    """A picture, which is empty where all values fall into one bin, and what it says."""

    title: str
    unit: str
    """Of what the bars are shares."""
    caption: str
    svg: Markup


class _Histogram(NamedTuple):
    """A chart that is not drawn yet."""

    title: str
    unit: str
    counts: Int[np.ndarray, " b"]
    edges: Float[np.ndarray, " e"]
    """Bar i goes from edges[i] to edges[i + 1]."""
    ticks: Sequence[tuple[float, str]]
    x_label: str
    caption: str


def charts(whole: Statistics) -> list[Chart]:
    """Returns a histogram of each thing that is counted, in the order of the page; what never occurs is left out.

    Those that are words alone stand last, so that they leave no holes.
    """
    return sorted((_draw(one) for one in _histograms(whole)), key=lambda chart: not chart.svg)


def _histograms(whole: Statistics) -> Iterator[_Histogram]:
    if whole.pitch.any():
        low, _, high = map(note_name, quartiles(whole.pitch))
        caption = f"Half of the notes lie from {low} to {high}; C4 is the middle C. Drums are apart."
        ticks = [(pitch, note_name(pitch)) for pitch in range(0, 128, 12)]
        yield _Histogram("Pitch", "notes", whole.pitch, _BINS_128, ticks, "pitch", caption)
    if whole.notes:
        counts = whole.note_lengths
        common, share = NOTE_LENGTHS[counts.argmax()], share_text(counts.max(), whole.notes)
        caption = f"As written. The most common is about {common:.3g} quarter notes: {share} of all."
        names = {0: "1/64", 8: "1/16", 16: "1/4", 24: "1", 32: "4", 40: "16", 48: "64"}
        edges = np.arange(len(counts) + 1) - 0.5
        yield _Histogram("Note length", "notes", counts, edges, list(names.items()), "quarter notes", caption)
    if whole.duration_ms:
        low, _, high = (BPM_BIN * number for number in quartiles(whole.tempo_ms))
        caption = (
            f"Half of the music is played at {low} to {high + BPM_BIN} quarter notes a minute. "
            "120 is also what files mean that name no tempo."
        )
        edges = np.arange(len(whole.tempo_ms) + 1.0) * BPM_BIN
        ticks = [(bpm, str(bpm)) for bpm in range(0, int(edges[-1]) + 1, 40)]
        yield _Histogram("Tempo", "time", whole.tempo_ms, edges, ticks, "quarter notes a minute", caption)

        counts = whole.polyphony_ms
        mean, silence = np.arange(len(counts)) @ counts / counts.sum(), share_text(counts[0], counts.sum())
        caption = f"{mean:.1f} notes on average, drums included; silence for {silence} of the time."
        ticks = [(n, f"{n}+" if n == MAX_POLYPHONY else str(n)) for n in (0, 1, 2, 4, 6, 8, 12, 16, 24, 32)]
        yield _Histogram("Polyphony", "time", counts, np.arange(len(counts) + 1) - 0.5, ticks, "notes at once", caption)
    if whole.pieces:
        mean = duration_text(whole.duration_ms / 1000 / whole.pieces)
        caption = f"A piece lasts {mean} on average; all together {hours_text(whole.hours)} hours."
        names = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h"}
        yield _Histogram("Length of a piece", "pieces", whole.piece_seconds, *_octaves(names), "", caption)
        caption = f"{whole.notes / whole.pieces:,.0f} notes on average."
        names = {10**k: f"{10**k:,}" for k in range(7)}
        yield _Histogram("Notes in a piece", "pieces", whole.piece_notes, *_octaves(names), "notes", caption)
    if whole.notes:
        low, _, high = quartiles(whole.velocity)
        found = f"a velocity of {low}" if low == high else f"velocities from {low} to {high}"
        caption = f"Half of the notes or more have {found}."
        ticks = [(value, str(value)) for value in (1, 32, 64, 96, 127)]
        yield _Histogram("Velocity", "notes", whole.velocity, _BINS_128, ticks, "velocity", caption)
    if whole.drum_pitch.any():
        counts = whole.drum_pitch
        key = int(counts.argmax())
        name = f" ({DRUM_MAP[key - _FIRST_DRUM]})" if 0 <= key - _FIRST_DRUM < len(DRUM_MAP) else ""
        caption = f"{share_text(counts[key], counts.sum())} of the drum notes are on key {key}{name}."
        ticks = [(pitch, str(pitch)) for pitch in range(0, 128, 12)]
        yield _Histogram("Drums", "notes", counts, _BINS_128, ticks, "key of the drum kit", caption)


def _octaves(names: dict[int, str]) -> tuple[Float[np.ndarray, " e"], list[tuple[float, str]]]:
    """Returns edges and ticks for PIECE_SECONDS and PIECE_NOTES: bin 1 begins at 1, and two bins are an octave."""
    return np.arange(-1.0, 63.0), [(2 * float(np.log2(value)), name) for value, name in names.items()]


def _draw(one: _Histogram) -> Chart:
    """Returns a chart of the share of each bin, cut to where there is something, a little wider; of one bin words."""
    from ostinato.report.plots import histogram

    filled = np.flatnonzero(one.counts)
    if len(filled) == 1:
        return Chart(one.title, one.unit, f"{one.caption} All are in one bin.", Markup())
    margin = max(2, (24 - len(filled)) // 2) if len(one.counts) > 64 else 1
    first, last = max(filled[0] - margin, 0), min(filled[-1] + margin, len(one.counts) - 1)
    svg = histogram(
        one.edges[first : last + 2],
        one.counts[first : last + 1] / one.counts.sum(),
        name=re.sub(r"\W+", "-", one.title.lower()),
        label=f"{one.title}: share of {one.unit}. {one.caption}",
        x_label=one.x_label,
        ticks=one.ticks,
    )
    return Chart(one.title, one.unit, one.caption, svg)
