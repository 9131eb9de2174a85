"""What the clips begin with: the first bars of held-out pieces, drawn by lot."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from ostinato.data.records import Dataset, TFRecordSource
from ostinato.listen.design.study import StudyError
from ostinato.music.piece import Notes, Piece
from ostinato.sample.bars import bar_lines, cut_bars

LATEST_FIRST_NOTE_S = 1.0
"""A piece that begins with a longer silence is not used."""

FEWEST_NOTES = 4
"""Of a prompt."""


class Prompt(NamedTuple):
    """The beginning of a held-out piece, and the piece."""

    record_id: str
    record: int
    """Its number within the split."""
    style: int
    rows: Integer[np.ndarray, "n f"]
    """The beginning, from START on, without END."""
    num_bars: int
    num_beats: int
    """Quarter notes in those bars."""
    end_s: float
    """When those bars end."""
    piece: Piece
    """The whole, as people wrote it."""


def held_out_split(dataset: Dataset, split: str) -> str:
    """Returns the split that human music is taken from: the one that is asked for, or test, or validation.

    Raises:
        StudyError: it is the training split, or there is none.
    """
    found = split or next((name for name in ("test", "validation") if name in dataset.splits), "")
    if not found or found not in dataset.splits:
        raise StudyError(
            f"{dataset.path}: has no split {found or 'test or validation'}, only {', '.join(dataset.splits)}"
        )
    if found == "train":
        raise StudyError("--split train: models may know these pieces by heart; human music must be held out")
    return found


def draw_prompts(
    dataset: Dataset, split: str, number: int, *, least: int, clip_s: float, prompt_s: float, seed: int
) -> list[Prompt]:
    """Returns prompts in a random order, of which each piece of the split that is long enough is equally likely.

    Args:
        dataset: holds the pieces.
        split: of it.
        number: how many are wanted.
        least: how many will do, where there are not so many.
        clip_s: pieces must last as long; no prompt is longer than half of it.
        prompt_s: a prompt is the fewest bars that last at least as long.
        seed: of the lot.

    Raises:
        StudyError: there are fewer than `least`.
    """
    source = dataset.source(split)
    found: list[Prompt] = []
    for record in np.random.default_rng(seed).permutation(len(source)).tolist():
        prompt = _prompt(source, record, clip_s=clip_s, prompt_s=prompt_s)
        found += [prompt] if prompt else []
        if len(found) == number:
            break
    if len(found) < least:
        raise StudyError(
            f"{dataset.path}: {len(found)} of {len(source)} pieces of the {split} split last {clip_s:g} s and begin "
            f"with bars that can be used, {least} are needed; give a smaller --clip-seconds, --comparisons or --ratings"
        )
    return found


def first_seconds(piece: Piece, length_s: float) -> Piece:
    """Returns the notes that begin within the first seconds of a piece; notes that go on are cut there."""
    begin_s = piece.seconds(piece.notes.onset)
    kept = begin_s < length_s
    notes = Notes(*(column[kept] for column in piece.notes))
    ticks = np.arange(piece.end_tick + 1)
    end_tick = int(np.searchsorted(piece.seconds(ticks), length_s))
    duration = np.maximum(np.minimum(notes.duration, end_tick - notes.onset), 1)
    return Piece(notes._replace(duration=duration), piece.tempos, piece.meters, piece.ticks_per_quarter)


def _prompt(source: TFRecordSource, number: int, *, clip_s: float, prompt_s: float) -> Prompt | None:
    """Returns the beginning of a record, or None where it cannot be used."""
    record, codec = source[number], source.codec
    piece = codec.decode(record.steps)
    if not piece.num_notes or piece.duration_s < clip_s:
        return None
    lines = bar_lines(piece)
    lines_s = piece.seconds(lines)
    num_bars = int(np.searchsorted(lines_s, prompt_s))
    if num_bars >= len(lines) - 1 or lines_s[num_bars] > clip_s / 2:
        return None
    beginning = cut_bars(piece, 1, num_bars)
    if beginning.num_notes < FEWEST_NOTES or beginning.seconds(beginning.notes.onset[0]) > LATEST_FIRST_NOTE_S:
        return None
    style = codec.styles.index(record.style) if record.style in codec.styles else 0
    return Prompt(
        record_id=record.id,
        record=number,
        style=style,
        rows=codec.encode(beginning, style)[:-1],
        num_bars=num_bars,
        num_beats=-(-int(lines[num_bars]) // piece.ticks_per_quarter),
        end_s=float(lines_s[num_bars]),
        piece=piece,
    )
