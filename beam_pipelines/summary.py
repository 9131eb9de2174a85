"""What a finished dataset holds and what was left out of it, as tables for the terminal and for the page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int

from ostinato.beam_pipelines.inputs.endings import NOT_READ
from ostinato.beam_pipelines.text import (
    EXPLANATIONS,
    KINDS,
    NOTES,
    REPAIRS,
    duration_text,
    hours_text,
    note_name,
    share_text,
)  # fmt: skip
from ostinato.configs.documents import read_lines
from ostinato.data.manifest import DatasetError
from ostinato.data.statistics import (
    BPM_BIN,
    NOTE_LENGTHS,
    PIECE_NOTES,
    PIECE_SECONDS,
    Quartiles,
    Statistics,
    quartiles,
    read_statistics,
    total,
)  # fmt: skip
from ostinato.music.midi_write import instrument_name

T = TypeVar("T")

MAX_ROWS = 20
"""A table of styles or programs lists this many, and the rest in one row."""

COUNTED = {
    "rejected_by_reason": ("rejected, see rejects.jsonl", "reason", EXPLANATIONS),
    "duplicates_by_kind": ("duplicates, see duplicates.jsonl", "kind", KINDS),
    "salvaged": ("repaired", "how", REPAIRS),
    "not_read": ("files not read for their endings, which are no inputs", "ending", NOT_READ),
}
"""What the manifest counts: title and column of the table, and what each name means."""


class Table(NamedTuple):
    """Rows of text."""

    title: str
    heading: list[str]
    rows: list[list[str]]
    words: tuple[int, ...] = (0,)
    """The columns that are read as words; the others are figures."""

    @property
    def bars(self) -> list[float]:
        """The figures of the second column as parts of the largest, in per cent; not that of the row of the rest."""
        figures = [float(row[1].replace(",", "")) for row in self.rows[:MAX_ROWS]]
        return [100 * figure / max(*figures, 1.0) for figure in figures]


class Summary(NamedTuple):
    """What the description of a dataset says."""

    folder: Path
    manifest: Mapping[str, Any]
    splits: dict[str, Statistics]
    """Empty for a dataset of before there were statistics."""
    styles: dict[str, dict[str, Statistics]]
    """By style and split."""
    quartiles: Quartiles | None
    """None for a dataset of before they were kept."""

    @property
    def whole(self) -> Statistics:
        """The statistics of all splits together."""
        return total(self.splits.values())

    def counts(self, key: str) -> dict[str, int]:
        """Returns the counts under a key of COUNTED; older datasets know duplicates, but no kinds of them."""
        num_duplicates = self.manifest.get("counts", {}).get("duplicates")
        unknown = {"": num_duplicates} if key == "duplicates_by_kind" and num_duplicates else {}
        return self.manifest.get(key) or unknown

    def lines(self, file: str, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
        """Yields what rejects.jsonl or duplicates.jsonl says of each input that was left out: these columns and others.

        Raises:
            DatasetError: a line is damaged.
        """
        if (self.folder / file).is_file():
            for number, line in enumerate(read_lines(self.folder / file, dict[str, str], error=DatasetError), 1):
                if missing := [column for column in columns if column not in line]:
                    raise DatasetError(f"{self.folder / file}, line {number}: {missing[0]} is missing")
                yield line


def summarise(folder: Path, manifest: Mapping[str, Any]) -> Summary:
    """Returns what is known of a dataset.

    Args:
        folder: of the dataset.
        manifest: its manifest.json.

    Raises:
        UserError: statistics.json is damaged, or of another version.
    """
    path = folder / "statistics.json"
    if not path.is_file():
        return Summary(folder, manifest, {}, {}, None)
    content = read_statistics(path)
    splits = _from_json(content["splits"], f"{path}: splits")
    styles = {style: _from_json(splits, f"{path}: styles") for style, splits in content["styles"].items()}
    return Summary(folder, manifest, splits, styles, content.get("quartiles"))


def split_table(summary: Summary) -> Table:
    """Returns pieces, notes and hours of each split, and of all."""
    splits = summary.manifest["splits"]

    def row(label: str, names: list[str]) -> list[str]:
        parts = [splits[name] for name in names]
        pieces, notes, steps = (_number(sum(part[key] for part in parts)) for key in ("pieces", "notes", "steps"))
        music = total(summary.splits[name] for name in names if name in summary.splits)
        shards = sum(len(part["shards"]) for part in parts)
        return [label, pieces, notes, hours_text(music.hours) if summary.splits else "?", steps, _number(shards)]

    rows = [row(name, [name]) for name in splits]
    if len(splits) > 1:
        rows.append(row("all", list(splits)))
    return Table("splits", ["split", "pieces", "notes", "hours", "events", "shards"], rows)


def style_table(summary: Summary) -> Table:
    """Returns what became of the inputs of each style; no rows where there is only one style and it has no name.

    The styles with the most pieces come first, MAX_ROWS of them; the others are one row.
    """
    inputs: dict[str, dict[str, int]] = summary.manifest.get("by_style", {})
    statistics = {style: total(splits.values()) for style, splits in summary.styles.items()}
    splits, left_out = list(summary.manifest["splits"]), ["duplicates", "rejected"] if inputs else []

    def rank(style: str) -> tuple[int, int, str]:
        pieces = statistics[style].pieces if style in statistics else 0
        return -pieces, -sum(inputs.get(style, {}).values()), style

    def row(label: str, styles: list[str]) -> list[str]:
        music = total(statistics[style] for style in styles if style in statistics)
        by_split = [summary.styles[style] for style in styles if style in summary.styles]
        pieces = [sum(found[split].pieces for found in by_split if split in found) for split in splits]
        counts = [sum(inputs.get(style, {}).get(key, 0) for style in styles) for key in left_out]
        music_numbers = map(_number, [music.pieces, *pieces, music.notes])
        return [label, *music_numbers, hours_text(music.hours), *map(_number, counts)]

    names = sorted(inputs.keys() | statistics.keys(), key=rank)
    if names in ([], [""]):
        return Table("styles", [], [])
    heading = ["style", "pieces", *(f"in {split}" for split in splits), "notes", "hours", *left_out]
    return Table("styles", heading, _with_rest(names, "styles", row, label=lambda style: style or "(no name)"))


def count_table(summary: Summary, key: str) -> Table:
    """Returns how many inputs have which fate, the most frequent first, by a key of COUNTED in the manifest."""
    title, column, meanings = COUNTED[key]
    counts = summary.counts(key)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    rows = [[name, _number(counts[name]), meanings.get(name, "")] for name in names]
    heading = [column, "files", "what helps"] if key == "not_read" else [column, "inputs", "meaning"]
    return Table(title, heading, rows, words=(0, 2))


def program_table(summary: Summary) -> Table:
    """Returns in how many pieces each program occurs, and with how many notes; the most frequent first."""
    whole = summary.whole
    used = [program for program in range(len(whole.program_pieces)) if whole.program_pieces[program]]
    used.sort(key=lambda program: (-int(whole.program_pieces[program]), program))

    def row(label: str, programs: list[int]) -> list[str]:
        notes = sum(int(whole.program_notes[program]) for program in programs)
        pieces = _number(int(whole.program_pieces[programs[0]])) if len(programs) == 1 else ""
        return [label, pieces, _number(notes), share_text(notes, whole.notes)]

    rows = _with_rest(used, "programs", row, label=instrument_name)
    return Table("programs", ["instrument", "pieces", "notes", "of all notes"], rows)


def music_table(summary: Summary) -> Table:
    """Returns below what a quarter, a half and three quarters of notes, time or pieces lie.

    Lengths of pieces are exact; the others, and those of datasets of before they were kept, to the width of a bin.
    """
    whole = summary.whole
    rows: list[tuple[str, Int[np.ndarray, " c"], Callable[[int], str]]] = [
        ("pitch of a note", whole.pitch, note_name),
        ("length of a note, quarters", whole.note_lengths, lambda i: f"{NOTE_LENGTHS[i]:.3g}"),
        ("velocity of a note", whole.velocity, str),
        ("tempo, quarters a minute", whole.tempo_ms, lambda i: str(i * BPM_BIN)),
        ("notes at once", whole.polyphony_ms, str),
        ("length of a piece", whole.piece_seconds, lambda i: duration_text(PIECE_SECONDS[max(i - 1, 0)])),
        ("notes in a piece", whole.piece_notes, lambda i: f"{PIECE_NOTES[max(i - 1, 0)]:,.0f}"),
    ]
    cells = {name: list(map(label, quartiles(counts))) for name, counts, label in rows if counts.any()}
    if summary.quartiles:
        cells["length of a piece"] = [duration_text(ms / 1000) for ms in summary.quartiles["piece_ms"]]
        cells["notes in a piece"] = list(map(_number, summary.quartiles["piece_notes"]))
    heading = ["about", "a quarter below", "half below", "three quarters below"]
    return Table("the music", heading, [[name, *row] for name, row in cells.items()])


def note_table(summary: Summary) -> Table:
    """Returns what became of the notes, in how many pieces, and in how many of them of more than 5 % of the notes."""
    notes, pieces = summary.manifest.get("notes", {}), summary.manifest.get("pieces_with", {})
    changed = summary.manifest.get("changed", {})
    rows = [
        [
            *(NOTES[name][0], _number(count)),
            *(_number(found.get(name, 0)) if pieces.get(name) else "" for found in (pieces, changed)),
            NOTES[name][1],
        ]
        for name, count in notes.items()
        if count and name in NOTES
    ]
    heading = ["what", "notes", "in pieces", "of them over 5%", "meaning"]
    return Table("notes, see changed.jsonl", heading, rows, words=(0, 4))


def counts_line(summary: Summary) -> str:
    """Returns what became of the inputs, in one line; empty where that was not counted."""
    counts = summary.manifest.get("counts")
    if not counts:
        return ""
    return "{inputs:,} inputs: {accepted:,} accepted, {duplicates:,} duplicates, {rejected:,} rejected".format(**counts)


def _from_json(values: Mapping[str, Any], where: str) -> dict[str, Statistics]:
    return {split: Statistics.from_json(counts, where=f"{where}.{split}") for split, counts in values.items()}


def _number(value: int) -> str:
    return f"{value:,}"


def _with_rest(
    items: list[T], noun: str, row: Callable[[str, list[T]], list[str]], *, label: Callable[[T], str]
) -> list[list[str]]:
    """Returns a row for each of the first MAX_ROWS items and one for all others."""
    rows = [row(label(item), [item]) for item in items[:MAX_ROWS]]
    others = items[MAX_ROWS:]
    return [*rows, row(f"{len(others):,} other {noun}", others)] if others else rows
