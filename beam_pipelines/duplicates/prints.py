"""The fingerprints of all pieces, on disk."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer, UInt32, UInt64

from ostinato.beam_pipelines.duplicates.aligned import MAX_LINE, NUM_SEEDS, Lines, find_seeds
from ostinato.beam_pipelines.duplicates.fingerprint import NUM_TIMES, Stacked
from ostinato.beam_pipelines.duplicates.performances import BINS_TOGETHER, NUM_BINS
from ostinato.beam_pipelines.duplicates.stored import Column
from ostinato.beam_pipelines.duplicates.voices import NUM_BANDS, WIDTH

_MIX = np.uint64(0x9E3779B97F4A7C15)


class Prints:
    """Pieces are numbered from 0 in the order in which they were added; so are their parts and their voices."""

    def __init__(self, folder: Path) -> None:
        """Makes files in a folder that is there; about 4 kB for each piece."""

        def column(name: str, dtype: type[np.generic], *width: int) -> Column:
            return Column(folder / name, dtype, *width)

        self.whole = column("whole", np.uint64)
        self.times = column("times", np.int16, NUM_TIMES)
        self.span = column("span", np.float64)
        self.leads = column("leads", np.float64, 2)
        self.num_parts = column("num_parts", np.uint16)
        self.num_voices = column("num_voices", np.uint16)
        self.shape = column("shape", np.uint64)
        """Of each part."""
        self.timed = column("timed", np.uint64)
        """Likewise."""
        self.voice = column("voice", np.uint32, WIDTH)
        self.voice_hash = column("voice_hash", np.uint64)
        """Of each voice; equal for equal ones."""
        self.bands = [column(f"band-{band}", np.uint32) for band in range(NUM_BANDS)]
        """The columns of `voice` that are bands."""
        self.performance = column("performance", np.uint32, NUM_BINS)
        self.bins = [column(f"bins-{i}", np.uint32, BINS_TOGETHER) for i in range(NUM_BINS // BINS_TOGETHER)]
        """The columns of `performance`, some together."""
        self.line = column("line", np.uint8, MAX_LINE)
        self.num_in_line = column("num_in_line", np.uint16)
        self.seeds = column("seeds", np.uint32, NUM_SEEDS)
        self.seed = [column(f"seed-{i}", np.uint32) for i in range(NUM_SEEDS)]

    def __len__(self) -> int:
        return len(self.whole)

    def close(self) -> None:
        """Closes all files."""
        for column in vars(self).values():
            for one in column if isinstance(column, list) else [column]:
                one.close()

    @property
    def lines(self) -> Lines:
        return Lines(self.line, self.num_in_line, self.seeds, self.seed)

    def add(self, prints: Stacked) -> None:
        """Adds the fingerprints of some pieces."""
        self.whole.append(prints.whole)
        self.times.append(prints.times)
        self.span.append(prints.span)
        self.leads.append(prints.leads)
        self.num_parts.append(prints.num_parts)
        self.num_voices.append(prints.num_voices)
        self.shape.append(prints.parts[:, 0])
        self.timed.append(prints.parts[:, 1])
        self.voice.append(prints.voices)
        self.voice_hash.append(_hash_rows(prints.voices))
        for band, column in enumerate(self.bands):
            column.append(prints.voices[:, band])
        self.performance.append(prints.performance)
        for i, column in enumerate(self.bins):
            column.append(prints.performance[:, BINS_TOGETHER * i : BINS_TOGETHER * (i + 1)])
        self.line.append(prints.line)
        self.num_in_line.append(prints.num_in_line)
        seeds = find_seeds(prints.line, prints.num_in_line.astype(np.int64))
        self.seeds.append(seeds)
        for i, column in enumerate(self.seed):
            column.append(seeds[:, i])


def first_of(counts: Column) -> Int64[np.ndarray, " n"]:
    """Returns the number of the first part (or voice) of each piece."""
    number = counts.read().astype(np.int64)
    return np.cumsum(number) - number


def owner_of(first: Int64[np.ndarray, " n"], numbers: Integer[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
    """Returns the pieces that have parts (or voices) with these numbers."""
    return first.searchsorted(numbers, side="right") - 1


def _hash_rows(rows: UInt32[np.ndarray, "v 24"]) -> UInt64[np.ndarray, " v"]:
    mixed = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        mixed = (mixed ^ column) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return mixed
