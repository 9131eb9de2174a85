"""The pictures of a report, as SVG elements to stand inside a page: they take colours and type from its style sheet.

matplotlib is imported where it draws, since prepare's workers never do.
"""

import html
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pretty_midi.constants import DRUM_MAP

from ostinato.beam_pipelines.text import duration_text, hours_text, note_name, share_text
from ostinato.data.statistics import BPM_BIN, MAX_POLYPHONY, NOTE_LENGTHS, Statistics, quartiles
from ostinato.report.svg import embedded_svg

_BAR_COLOUR, _LINE_COLOUR = "#123456", "#654321"
"""Stand for the page's colours until the SVG is written."""

_FIRST_DRUM = 35
"""The key of DRUM_MAP's first name."""


class Chart(NamedTuple):
    """A picture and what it says."""

    title: str
    unit: str
    """Of what the bars are shares."""
    caption: str
    svg: str


class _Axis(NamedTuple):
    """Where the bars of a histogram stand: bar i goes from edges[i] to edges[i + 1]."""

    edges: Float[np.ndarray, " e"]
    ticks: Sequence[tuple[float, str]]
    label: str


def charts(whole: Statistics) -> list[Chart]:
    """Returns a histogram of each thing that is counted, in the order of the page; what never occurs is left out."""
    drawn = [
        _pitch(whole),
        _note_length(whole),
        _tempo(whole),
        _polyphony(whole),
        _piece_seconds(whole),
        _piece_notes(whole),
        _velocity(whole),
        _drums(whole),
    ]
    return [chart for chart in drawn if chart]


def _pitch(whole: Statistics) -> Chart | None:
    if not whole.pitch.any():
        return None
    low, _, high = map(note_name, quartiles(whole.pitch))
    caption = f"Half of the notes lie from {low} to {high}; C4 is the middle C. Drums are apart."
    axis = _Axis(np.arange(129) - 0.5, [(pitch, note_name(pitch)) for pitch in range(0, 128, 12)], "pitch")
    return _histogram(whole.pitch, axis, "notes", "Pitch", caption)


def _drums(whole: Statistics) -> Chart | None:
    counts = whole.drum_pitch
    if not counts.any():
        return None
    key = int(counts.argmax())
    name = f" ({DRUM_MAP[key - _FIRST_DRUM]})" if 0 <= key - _FIRST_DRUM < len(DRUM_MAP) else ""
    caption = f"{share_text(counts[key], counts.sum())} of the drum notes are on key {key}{name}."
    axis = _Axis(np.arange(129) - 0.5, [(pitch, str(pitch)) for pitch in range(0, 128, 12)], "key of the drum kit")
    return _histogram(counts, axis, "notes", "Drums", caption)


def _note_length(whole: Statistics) -> Chart | None:
    if not whole.notes:
        return None
    counts = whole.note_lengths
    common = counts.argmax()
    position = np.arange(len(counts) + 1) - 0.5
    names = {-24: "1/64", -16: "1/16", -8: "1/4", 0: "1", 8: "4", 16: "16", 24: "64"}
    ticks = [(float(24 + place), name) for place, name in names.items()]
    caption = (
        f"As written. The most common is about {NOTE_LENGTHS[common]:.3g} quarter notes: "
        f"{share_text(counts[common], whole.notes)} of all."
    )
    return _histogram(counts, _Axis(position, ticks, "quarter notes"), "notes", "Note length", caption)


def _tempo(whole: Statistics) -> Chart | None:
    if not whole.duration_ms:
        return None
    low, _, high = (BPM_BIN * bin_number for bin_number in quartiles(whole.tempo_ms))
    caption = (
        f"Half of the music is played at {low} to {high + BPM_BIN} quarter notes a minute. "
        "120 is also what files mean that name no tempo."
    )
    edges = np.arange(len(whole.tempo_ms) + 1.0) * BPM_BIN
    ticks = [(float(bpm), str(bpm)) for bpm in range(0, int(edges[-1]) + 1, 40)]
    return _histogram(whole.tempo_ms, _Axis(edges, ticks, "quarter notes a minute"), "time", "Tempo", caption)


def _polyphony(whole: Statistics) -> Chart | None:
    if not whole.duration_ms:
        return None
    counts = whole.polyphony_ms
    mean = float(np.arange(len(counts)) @ counts / counts.sum())
    caption = (
        f"{mean:.1f} notes on average, drums included; silence for {share_text(counts[0], counts.sum())} of the time."
    )
    ticks = [(float(n), f"{n}+" if n == MAX_POLYPHONY else str(n)) for n in (0, 1, 2, 4, 6, 8, 12, 16, 24, 32)]
    axis = _Axis(np.arange(len(counts) + 1) - 0.5, ticks, "notes at once")
    return _histogram(counts, axis, "time", "Polyphony", caption)


def _piece_seconds(whole: Statistics) -> Chart | None:
    if not whole.pieces:
        return None
    mean = whole.duration_ms / 1000 / whole.pieces
    caption = f"A piece lasts {duration_text(mean)} on average; all together {hours_text(whole.hours)} hours."
    seconds = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h"}
    return _histogram(
        whole.piece_seconds, _octaves(whole.piece_seconds, seconds, ""), "pieces", "Length of a piece", caption
    )


def _piece_notes(whole: Statistics) -> Chart | None:
    if not whole.pieces:
        return None
    caption = f"{whole.notes / whole.pieces:,.0f} notes on average."
    numbers = {10**k: f"{10**k:,}" for k in range(7)}
    axis = _octaves(whole.piece_notes, numbers, "notes")
    return _histogram(whole.piece_notes, axis, "pieces", "Notes in a piece", caption)


def _velocity(whole: Statistics) -> Chart | None:
    if not whole.notes:
        return None
    low, _, high = quartiles(whole.velocity)
    caption = f"Half of the notes have a velocity from {low} to {high}."
    ticks = [(float(value), str(value)) for value in (1, 32, 64, 96, 127)]
    return _histogram(whole.velocity, _Axis(np.arange(129) - 0.5, ticks, "velocity"), "notes", "Loudness", caption)


def _octaves(counts: Int[np.ndarray, " c"], values: dict[int, str], label: str) -> _Axis:
    """Returns the axis of PIECE_SECONDS and PIECE_NOTES: bin 1 begins at 1, and two bins are an octave."""
    return _Axis(
        np.arange(len(counts) + 1.0) - 1, [(2 * float(np.log2(value)), name) for value, name in values.items()], label
    )


def _histogram(counts: Int[np.ndarray, " c"], axis: _Axis, unit: str, title: str, caption: str) -> Chart:
    """Returns a chart of the share of each bin, cut to where there is something, a little wider."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    filled = np.flatnonzero(counts)
    margin = max(2, (24 - len(filled)) // 2) if len(counts) > 64 else 1
    first, last = max(filled[0] - margin, 0), min(filled[-1] + margin, len(counts) - 1)
    share = counts / counts.sum()
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 8.5}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(4.4, 2.0))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.1, 0.21, 0.88, 0.72))
        left, width = axis.edges[first : last + 1], np.diff(axis.edges[first : last + 2])
        gap = 0.14 if last - first < 70 else 0.0
        axes.bar(
            left + width * gap / 2, share[first : last + 1], width * (1 - gap), align="edge", color=_BAR_COLOUR,
            linewidth=0,
        )  # fmt: skip
        axes.set_xlim(float(axis.edges[first]), float(axis.edges[last + 1]))
        axes.set_ylim(0, share.max() * 1.05)
        shown = [(place, name) for place, name in axis.ticks if axis.edges[first] <= place <= axis.edges[last + 1]]
        axes.set_xticks([place for place, _ in shown], [name for _, name in shown])
        axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        axes.set_xlabel(axis.label)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(_LINE_COLOUR)
        axes.tick_params(color=_LINE_COLOUR, left=False)
        axes.grid(axis="y", color=_LINE_COLOUR, alpha=0.35, linewidth=0.6)
        axes.set_axisbelow(True)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    label = f"{title}: share of {unit}. {caption}"
    colours = {_BAR_COLOUR: "var(--accent)", _LINE_COLOUR: "var(--line)"}
    svg = embedded_svg(text.getvalue(), re.sub(r"\W+", "-", title.lower()), label, colours)
    return Chart(title, unit, caption, svg)


_FLOW_HEIGHT, _FLOW_GAP, _FLOW_TOP, _THINNEST = 150.0, 26.0, 12.0, 1.5


def flow(parts: Sequence[tuple[str, int, str]]) -> str:
    """Returns a picture of how one whole divides: a band for each part, as thick as its share.

    Args:
        parts: name, number and CSS class of each, in order; their sum is the whole.
    """
    whole = sum(number for _, number, _ in parts)
    source_top = _FLOW_TOP + _FLOW_GAP * (len(parts) - 1) / 2
    source, target, bands = source_top, _FLOW_TOP, []
    for name, number, css in parts:
        share = number / max(whole, 1)
        thick = max(_FLOW_HEIGHT * share, _THINNEST) if number else 0.0
        bands.append(
            f'{_band(source, target, thick, css)}<text x="384" y="{target + thick / 2 + 4.5:.1f}">'
            f'<tspan class="number">{number:,}</tspan> {html.escape(name)}, {share_text(number, max(whole, 1))}</text>'
        )
        source += _FLOW_HEIGHT * share
        target += thick + _FLOW_GAP
    label = html.escape(f"{whole:,} inputs: " + ", ".join(f"{number:,} {name}" for name, number, _ in parts))
    return (
        f'<svg class="flow" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {target:.0f}" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<rect class="all" x="7" y="{source_top:.1f}" width="5" height="{_FLOW_HEIGHT:.1f}"/>{"".join(bands)}'
        f'<text x="7" y="{source_top + _FLOW_HEIGHT + 20:.1f}"><tspan class="number">{whole:,}</tspan> inputs</text>'
        "</svg>"
    )


def _band(source: float, target: float, thick: float, css: str) -> str:
    """Returns a band from the left at height `source` to the right at height `target`, and where it ends."""
    upper = f"M 12 {source:.1f} C 190 {source:.1f} 190 {target:.1f} 368 {target:.1f}"
    low_source, low_target = source + thick, target + thick
    lower = f"L 368 {low_target:.1f} C 190 {low_target:.1f} 190 {low_source:.1f} 12 {low_source:.1f} Z"
    end = f'<rect class="{css}" x="368" y="{target:.1f}" width="5" height="{max(thick, 0.5):.1f}"/>'
    return f'<path class="band {css}" d="{upper} {lower}"/>{end}'
