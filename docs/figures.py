"""The figures of the pages on concepts, from real music: chorales by Bach and a hornpipe of 1883 (music21 has them).

python -m ostinato.docs.figures      # in a checkout, with the extra demo; writes docs/*.svg
"""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.beam_pipelines.duplicates.fingerprint import fingerprint
from ostinato.benchmarks.figures import new_figure, save
from ostinato.evaluation.metrics.form import self_similarity
from ostinato.launch.chorales import VOICES, chorale_folder
from ostinato.music import musicxml, musicxml_file, notation
from ostinato.music.bars import bar_lines, cut_bars
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import Piece
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import DURATIONS, METER, START, STYLE, TEMPO

FOLDER = Path(__file__).resolve().parent
INK = "#7c8694"
"""Of letters and lines: to be read on white and on black."""
COLOURS = ("#3d8fb5", "#c08f3f", "#b5605a", "#6f9a57")
_TUNE = "ryansMammoth/AcrobatsHornpipe.abc"
_CONTROLS = {START: "START", STYLE: "STYLE", METER: "METER", TEMPO: "TEMPO"}


def chorale(name: str) -> Piece:
    """Returns a chorale by its BWV number."""
    score = musicxml_file.parse((chorale_folder() / f"{name}.mxl").read_bytes())
    return musicxml.to_piece(score, programs=VOICES)


def example_chorale() -> Piece:
    """Returns the chorale of the first figure."""
    return chorale("bwv269")


def tune() -> Piece:
    """Returns the hornpipe, repeats expanded."""
    return notation.read((chorale_folder().parent / _TUNE).read_bytes(), "abc")


def draw_notes(piece: Piece) -> Any:
    """Two bars as a piano roll, and the first events that say them."""
    part = cut_bars(piece, 1, 2)
    figure, (roll, table) = new_figure(2, 9, 3.4, width_ratios=(1.1, 1))
    _draw_roll(roll, part)
    roll.set_xlabel("quarter notes", color=INK)
    roll.set_ylabel("MIDI pitch", color=INK)
    events = ScoreCodec().encode(part)
    table.axis("off")
    lines = [["shift", "instrument", "pitch", "duration", "velocity"], *(_event(event) for event in events[:13])]
    for row, cells in enumerate(lines):
        for column, cell in enumerate(cells):
            x, y = (0.0, 0.2, 0.52, 0.68, 0.87)[column], 1 - row / len(lines)
            weight = "bold" if row == 0 else "normal"
            table.text(x, y, cell, color=INK, fontsize=8.5, va="top", weight=weight, transform=table.transAxes)
    return figure


def draw_streams(pieces: Sequence[Piece], *, num_rows: int = 4, chunk: int = 64, num_chunks: int = 8) -> Any:
    """Pieces end to end, read by the rows of a batch in chunks; a vertical line is where a step begins."""
    lengths = [len(ScoreCodec().encode(piece)) for piece in pieces]
    ends = np.cumsum(lengths)
    figure, axes = new_figure(1, 9, 2.4)
    shown = chunk * num_chunks
    for row in range(num_rows):
        begin = row * shown
        for number, (first, last) in enumerate(pairwise([0, *ends])):
            left, right = max(first - begin, 0), min(last - begin, shown)
            if left < right:
                colour = COLOURS[number % len(COLOURS)]
                axes.barh(-row, right - left, left=left, height=0.6, color=colour, edgecolor="none")
                if first >= begin:
                    axes.plot([left, left], [-row - 0.4, -row + 0.4], color=INK, linewidth=2.5)
    for edge in range(0, shown + 1, chunk):
        axes.axvline(edge, color=INK, linewidth=0.6, linestyle=":")
    axes.set_yticks(range(0, -num_rows, -1), [f"row {row + 1}" for row in range(num_rows)])
    axes.set_xticks(range(0, shown + 1, chunk))
    axes.set_xlabel("events; dotted: a step of training; thick: a new piece, the memory is reset", color=INK)
    axes.set_xlim(0, shown)
    _plain(axes)
    return figure


def draw_bars(piece: Piece) -> Any:
    """How alike every bar is to every other."""
    figure, axes = new_figure(1, 4.6, 4.2)
    likeness = self_similarity(piece)
    picture = axes.imshow(likeness, cmap="Blues", vmin=0, vmax=1, origin="lower")
    axes.set_xlabel("bar", color=INK)
    axes.set_ylabel("bar", color=INK)
    ticks = range(0, len(likeness), 8)
    axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
    axes.set_yticks(ticks, [str(tick + 1) for tick in ticks])
    bar = figure.colorbar(picture, shrink=0.8)
    bar.ax.tick_params(colors=INK, labelsize=8)
    bar.outline.set_visible(False)
    _plain(axes)
    return figure


def draw_duplicates(piece: Piece) -> Any:
    """A tune, and the same a fourth higher, slower, and softer on another instrument."""
    notes = piece.notes
    other = dataclasses.replace(
        piece,
        notes=notes._replace(pitch=notes.pitch + 5, velocity=notes.velocity // 2, program=notes.program + 73),
        tempos=piece.tempos._replace(us_per_quarter=piece.tempos.us_per_quarter * 3 // 2),
    )
    assert fingerprint(piece, [notes]).whole == fingerprint(other, [other.notes]).whole
    figure, panels = new_figure(2, 9, 2.8, sharey=True)
    for axes, one in zip(panels, (piece, other), strict=True):
        part = cut_bars(one, 1, 5)
        _draw_roll(axes, part)
        bpm = 60e6 / one.tempos.us_per_quarter[0]
        axes.set_title(
            f"{instrument_name(int(one.notes.program[0]))}, {bpm:.0f} quarters a minute", color=INK, fontsize=9
        )
        line = part.notes.pitch[np.argsort(part.notes.onset, kind="stable")]
        steps = " ".join(f"{step:+d}" for step in np.diff(line)[:14])
        axes.set_xlabel(f"intervals: {steps} …", color=INK, fontsize=8.5)
    return figure


def _draw_roll(axes: Any, piece: Piece) -> None:
    notes, tpq = piece.notes, piece.ticks_per_quarter
    colours = {program: COLOURS[i % len(COLOURS)] for i, program in enumerate(dict.fromkeys(notes.program.tolist()))}
    for onset, duration, pitch, _, program in zip(*notes, strict=True):
        axes.barh(pitch, duration / tpq - 0.06, left=onset / tpq, height=0.8, color=colours[int(program)])
    for line in bar_lines(piece):
        axes.axvline(line / tpq, color=INK, linewidth=0.6, linestyle=":")
    _plain(axes)


def _event(event: np.ndarray) -> list[str]:
    shift, instrument, pitch, duration, velocity = (int(value) for value in event)
    if instrument in _CONTROLS:
        return [str(shift), _CONTROLS[instrument], str(pitch), str(duration), str(velocity)]
    length = int(DURATIONS[duration])
    return [str(shift), instrument_name(instrument), str(pitch), f"{length}", str(velocity)]


def _plain(axes: Any) -> None:
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def main() -> None:
    """Draws all of them."""
    numbers = [path.stem for path in sorted(chorale_folder().glob("bwv2[5-9]*.mxl"))]
    pieces = [chorale(name) for name in numbers if _has_four_parts(name)][:24]
    figures = {
        "notes": draw_notes(example_chorale()),
        "memory": draw_streams(pieces),
        "bars": draw_bars(tune()),
        "duplicates": draw_duplicates(tune()),
    }
    for name, figure in figures.items():
        figure.patch.set_alpha(0)
        save(figure, FOLDER / f"{name}.svg")


def _has_four_parts(name: str) -> bool:
    score = musicxml_file.parse((chorale_folder() / f"{name}.mxl").read_bytes())
    return musicxml.num_parts(score) == len(VOICES)


if __name__ == "__main__":
    main()
