"""A piece as a picture: a piano roll as PNG, the same bytes each time."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from ostinato.data.atomic import write_atomically
from ostinato.music.bars import bar_lines
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import Piece

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

# Those of report/static/roll.js on light paper: Okabe and Ito's, which people with colour blindness can tell apart.
COLOURS = ("#0072b2", "#c4530a", "#00855f", "#a8518a", "#2c87bd", "#9a6b00", "#5b5f97", "#66713b")


def draw_piano_roll(
    piece: Piece,
    path: Path,
    *,
    title: str = "",
    primer_end_tick: int | None = None,
    bar_scores: Sequence[float] = (),
) -> None:
    """Writes a PNG with a bar for each note, as `paint_piano_roll` draws it; the instruments are named below.

    Bars with a score above 0 are tinted, those above 4 the most.

    The same piece gives the same bytes (with the same matplotlib).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figure_size_in(piece), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = fill_figure(figure, piece, title=title, primer_end_tick=primer_end_tick)
    lines = bar_lines(piece) / piece.ticks_per_quarter
    for left, right, score in zip(lines, lines[1:], bar_scores, strict=False):  # there may be more of a longer piece
        axes.axvspan(left, right, color="#d62839", alpha=0.3 * min(max(score, 0.0), 4.0) / 4, linewidth=0, zorder=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def fill_figure(figure: "Figure", piece: Piece, *, title: str = "", primer_end_tick: int | None = None) -> "Axes":
    """Draws a piano roll on a figure with constrained layout, the names of its instruments below; see the next."""
    axes = figure.add_subplot()
    handles = paint_piano_roll(axes, piece, title=title, primer_end_tick=primer_end_tick)
    if handles:
        columns = -(-len(handles) // -(-len(handles) // 6))  # rows of at most six, equally full
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return axes


def paint_piano_roll(
    axes: "Axes", piece: Piece, *, title: str = "", primer_end_tick: int | None = None
) -> "list[Patch]":
    """Draws a bar for each note on axes: colour is the instrument, opacity the velocity; quarters to the right.

    The part up to `primer_end_tick`, if given, is shaded and named. Returns what a legend says about the instruments,
    the highest first.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba_array
    from matplotlib.patches import Patch

    notes, tpq = piece.notes, piece.ticks_per_quarter
    lines = bar_lines(piece) / tpq
    end = lines[-1]
    low, high = _pitch_range(notes.pitch)

    keys = np.arange(low, high + 1)
    for key in keys[np.isin(keys % 12, (1, 3, 6, 8, 10))]:  # the rows of the black keys
        axes.axhspan(key - 0.5, key + 0.5, color="#f3f4f7", linewidth=0, zorder=0)
    cs = keys[keys % 12 == 0]
    axes.hlines(cs - 0.5, 0, end, colors="#c9ccd6", linewidth=0.8, zorder=1)
    axes.set_yticks(cs, [f"C{key // 12 - 1}" for key in cs])

    step = _label_step(len(lines) - 1)
    axes.vlines(lines[::step], low - 0.5, high + 0.5, colors="#c9ccd6", linewidth=0.8, zorder=1)
    if len(lines) <= 200:
        axes.vlines(lines, low - 0.5, high + 0.5, colors="#e3e5ec", linewidth=0.6, zorder=0.5)
    axes.set_xticks(lines[:-1:step], [str(bar + 1) for bar in range(0, len(lines) - 1, step)])
    axes.set_xlabel("bar")

    if primer_end_tick is not None:
        primer_end = primer_end_tick / tpq
        axes.axvspan(0, primer_end, color="#f2c14e", alpha=0.18, linewidth=0, zorder=0.7)
        axes.axvline(primer_end, color="#b8860b", linewidth=1.2, linestyle=(0, (4, 3)), zorder=4)
        axes.annotate(
            "primer", (primer_end, 1), xycoords=("data", "axes fraction"), xytext=(-4, -4), va="top", ha="right",
            textcoords="offset points", fontsize=9, color="#8a6508", annotation_clip=True,
        )  # fmt: skip

    programs, of_note = np.unique(notes.program, return_inverse=True)
    palette = to_rgba_array(COLOURS)[np.arange(len(programs)) % len(COLOURS)]
    colour = palette[of_note]
    colour[:, 3] = 0.4 + 0.6 * np.clip(notes.velocity, 0, 127) / 127
    left, right = notes.onset / tpq, (notes.onset + notes.duration) / tpq
    bottom, top = notes.pitch - 0.42, notes.pitch + 0.42
    corners = np.stack([left, bottom, left, top, right, top, right, bottom], axis=1).reshape(-1, 4, 2)
    edges = colour * (0.7, 0.7, 0.7, 1)
    axes.add_collection(PolyCollection(list(corners), facecolors=colour, edgecolors=edges, linewidths=0.5, zorder=3))

    axes.set_xlim(0, end)
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    if title:
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", parse_math=False)
    mean_pitch = np.bincount(of_note, weights=notes.pitch) / np.bincount(of_note)
    return [
        Patch(color=COLOURS[i % len(COLOURS)], label=instrument_name(int(programs[i])))
        for i in np.argsort(-mean_pitch, kind="stable")
    ]


def figure_size_in(piece: Piece) -> tuple[float, float]:
    """Returns width and height, in inches, in which the notes of a piece can be told apart."""
    return float(np.clip(bar_lines(piece)[-1] / piece.ticks_per_quarter / 6, 9, 20)), 5


def _label_step(num_bars: int) -> int:
    """Returns the power of two that leaves at most 24 labelled bars."""
    step = 1
    while num_bars / step > 24:
        step *= 2
    return step


def _pitch_range(pitch: Int[np.ndarray, " n"]) -> tuple[int, int]:
    """Returns the lowest and highest key to draw: two around the music, and at least two octaves."""
    low, high = (int(pitch.min()) - 2, int(pitch.max()) + 2) if len(pitch) else (60, 60)
    missing = max(0, 24 - (high - low))
    return low - missing // 2, high + missing - missing // 2
