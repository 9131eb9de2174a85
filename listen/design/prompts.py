"""What the clips begin with: the first bars of held-out pieces, drawn by lot."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from ostinato.configs.listen import StudyConfig
from ostinato.data.records import Dataset, TFRecordSource
from ostinato.evaluation.held_out import held_out_split
from ostinato.listen.design.study import StudyError
from ostinato.music.bars import bar_lines, cut_bars
from ostinato.music.piece import Notes, Piece

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

    def describe(self, split: str) -> dict[str, str | int | float]:
        """Returns where it was taken from, for the researcher."""
        number, bars, seconds = self.record, self.num_bars, round(self.end_s, 3)
        return {"record": self.record_id, "split": split, "number": number, "bars": bars, "seconds": seconds}


def human_split(dataset: Dataset, split: str) -> str:
    """Returns the split that human music is taken from: the one that is asked for, or test, or validation.

    Raises:
        StudyError: it is the training split, or there is none.
    """
    found = split or held_out_split(dataset) or ""
    if found not in dataset.splits:
        raise StudyError(f"{dataset}: has no split {found or 'test or validation'}, only {', '.join(dataset.splits)}")
    if found == "train":
        raise StudyError("--split train: models may know these pieces by heart; human music must be held out")
    return found


def draw_prompts(dataset: Dataset, split: str, number: int, config: StudyConfig, *, least: int) -> list[Prompt]:
    """Returns prompts in a random order, of which each piece of the split that is long enough is equally likely.

    A prompt is the fewest bars that last at least `prompt_seconds`, and at most half of a clip.

    Raises:
        StudyError: there are fewer than `least`.
    """
    source = dataset.source(split)
    found: list[Prompt] = []
    for record in np.random.default_rng(config.seed).permutation(len(source)).tolist():
        prompt = _prompt(source, record, clip_s=config.clip_seconds, prompt_s=config.prompt_seconds)
        found += [prompt] if prompt else []
        if len(found) == number:
            break
    if len(found) < least:
        raise StudyError(
            f"{dataset}: {len(found)} of {len(source)} pieces of the {split} split last {config.clip_seconds:g} s "
            f"and begin with bars that can be used, {least} are needed; give a smaller --clip-seconds, --comparisons "
            "or --ratings"
        )
    return found


def first_seconds(piece: Piece, length_s: float) -> Piece:
    """Returns the notes that begin within the first seconds of a piece; longer notes are cut there."""
    is_heard = piece.seconds(piece.notes.onset) < length_s
    notes = Notes(*(column[is_heard] for column in piece.notes))
    end_tick = int(np.searchsorted(piece.seconds(np.arange(piece.end_tick + 1)), length_s))
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
    num_beats = -(-int(lines[num_bars]) // piece.ticks_per_quarter)
    rows = codec.encode(beginning, style)[:-1]
    return Prompt(record.id, number, style, rows, num_bars, num_beats, float(lines_s[num_bars]), piece)
