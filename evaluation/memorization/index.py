"""The index of a corpus in which copies are looked for, on disk and in use.

    index.json      format, what it was made of, counts
    text.npy        UInt16[s]: the symbols of all lines, see symbols.py
    suffixes.npy    Int32[s]: see suffixes.py
    onsets.npy      Int32[s]: of the note before each symbol, in 24ths of a quarter note
    pitches.npy     UInt8[s]: likewise
    lines.npy       Int64[l, 3]: where each line begins, its piece, and its name's place in index.json

11 bytes for each symbol; a note has two to three. The files are mapped into memory, so opening costs nothing.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import numpy as np
from jaxtyping import Float, Int, Shaped
from msgspec import Meta

from ostinato.configs.documents import Count, check_document, read_document
from ostinato.configs.errors import UserError
from ostinato.data.arrays import open_array
from ostinato.data.atomic import atomic_folder
from ostinato.data.records import Dataset
from ostinato.evaluation.memorization.lines import Line
from ostinato.evaluation.memorization.suffixes import find_longest, suffix_array
from ostinato.evaluation.memorization.symbols import BITS, END, MIN_NOTES, symbol_lines
from ostinato.music.piece import Piece, quantize_ticks

logger = logging.getLogger(__name__)

FORMAT = 1
FILE = "index.json"
_GRID = 24
_ARRAYS = {
    "text": ((np.uint16,), 1),
    "suffixes": ((np.int32, np.int64), 1),
    "onsets": ((np.int32,), 1),
    "pitches": ((np.uint8,), 1),
    "lines": ((np.int64,), 2),
}
"""What each array may be, and how many axes it has."""
MAX_BYTES = 1 << 30
"""Of index.json, which names all pieces."""


class IndexFile(TypedDict):
    """What index.json says."""

    format: int
    fingerprint: str
    pieces: Count
    notes: Count
    names: list[str]
    line_names: list[str]
    symbol_bits: Annotated[list[float], Meta(min_length=1 << BITS, max_length=1 << BITS)]


class Copy(NamedTuple):
    """The longest run of notes that a piece shares with the corpus. Places are in quarter notes from the beginning."""

    num_notes: int
    """0 if the piece has no line of three notes, or none of its intervals is in the corpus."""
    bits: float
    """How unlikely the run is as such: -log2 of its intervals and steps in time, each as frequent as in the corpus."""
    source: str
    """The piece of the corpus, or one of several."""
    source_line: str
    """In which of its lines: texture, top, bottom, program N."""
    source_quarter: float
    source_quarters: float
    """How long the run is there, from the first onset to the last."""
    line: str
    quarter: float
    quarters: float
    transposition: int
    """Semitones from the source to the piece."""

    @property
    def stretch(self) -> float | None:
        """How many times as long the run is as in the source; None if all its notes begin together."""
        return self.quarters / self.source_quarters if self.source_quarters else None


NO_COPY = Copy(0, 0.0, "", "", 0.0, 0.0, "", 0.0, 0.0, 0)


class LineMatches(NamedTuple):
    """What a line of a piece shares with the corpus; n notes of the line but the last."""

    line: Line
    notes: Int[np.ndarray, " n"]
    """In the longest run that begins with each note."""
    bits: Float[np.ndarray, " n"]
    place: Int[np.ndarray, " n"]


class CopyIndex:
    """All lines of a corpus, and the order of their suffixes."""

    def __init__(self, description: IndexFile, arrays: dict[str, Shaped[np.ndarray, "..."]]) -> None:
        """Use `build`, `open_index` or `of_dataset`."""
        self.description = description
        self._arrays = arrays
        self._bits = np.array(description["symbol_bits"])

    @classmethod
    def build(cls, pieces: Iterable[tuple[str, Piece]], *, fingerprint: str = "") -> "CopyIndex":
        """Returns the index of pieces and their names, taken one at a time, of the dataset with a fingerprint.

        Raises:
            UserError: there is nothing in which a copy could be found.
        """
        names, texts, onsets, pitches, rows, line_names = [], [], [], [], [], {}
        num_notes = num_symbols = 0
        for name, piece in pieces:
            names.append(name)
            num_notes += piece.num_notes
            for line, symbols in symbol_lines(piece):
                rows.append((num_symbols, len(names) - 1, line_names.setdefault(line.name, len(line_names))))
                num_symbols += len(symbols)
                texts.append(symbols)
                onsets.append(quantize_ticks(line.onset, piece.ticks_per_quarter, _GRID).astype(np.int32))
                pitches.append(line.pitch.astype(np.uint8))
        if not rows:
            raise UserError(f"none of {len(names)} pieces has a line of {MIN_NOTES} notes in which copies can be found")
        text = np.concatenate(texts)
        counts = np.bincount(text, minlength=1 << BITS)
        counts[END] = 0
        arrays = {
            "text": text,
            "suffixes": suffix_array(text),
            "onsets": np.concatenate(onsets),
            "pitches": np.concatenate(pitches),
            "lines": np.array(rows, np.int64),
        }
        description: IndexFile = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "pieces": len(names),
            "notes": num_notes,
            "names": names,
            "line_names": list(line_names),
            # One symbol more, spread over all: one that the corpus does not have is in no run, but in the sums.
            "symbol_bits": (-np.log2((counts + 1 / len(counts)) / (counts.sum() + 1))).round(4).tolist(),
        }
        return cls(description, arrays)

    @classmethod
    def of_dataset(cls, dataset: Dataset, folder: Path) -> "CopyIndex":
        """Returns the index of a dataset's training split: that in the folder if it is of this dataset, or a new one.

        It holds the training pieces as their codec gives them back, which is what a model can copy.
        """
        if (found := open_index(folder, dataset.fingerprint)) is not None:
            return found
        source = dataset.source("train")
        records = (source[number] for number in range(len(source)))
        pieces = ((record.id, dataset.codec.decode(record.steps)) for record in records)
        cls.build(pieces, fingerprint=dataset.fingerprint).save(folder)
        found = open_index(folder, dataset.fingerprint)
        assert found is not None, "it has just been written"
        return found

    def save(self, folder: Path) -> None:
        """Writes the index to a folder, whole or not at all."""
        with atomic_folder(folder) as partial:
            for name, values in self._arrays.items():
                np.save(partial / f"{name}.npy", values)
            (partial / FILE).write_text(json.dumps(self.description))

    def matches(self, piece: Piece) -> list[LineMatches]:
        """Returns for each line of a piece what it shares with the corpus, note for note."""
        lines = list(symbol_lines(piece))
        if not lines:
            return []
        query = np.concatenate([symbols for _, symbols in lines])
        found = find_longest(self._arrays["text"], self._arrays["suffixes"], query)
        until = np.append(0, np.cumsum(self._bits[query] * (query != END)))
        bits = until[np.arange(len(query)) + found.whole] - until[:-1]
        result, begin = [], 0
        for line, symbols in lines:
            here = slice(begin, begin + len(symbols) - 1)  # without END
            result.append(LineMatches(line, found.notes[here], bits[here], found.place[here]))
            begin += len(symbols)
        return result

    def find(self, piece: Piece) -> Copy:
        """Returns the longest run of notes in any line of the piece that is also in a line of the corpus."""
        return self.longest(piece, self.matches(piece))

    def longest(self, piece: Piece, matches: Sequence[LineMatches]) -> Copy:
        """Returns the longest of these matches; of equal ones the least likely as such."""
        best = NO_COPY
        for match in matches:
            at = int(np.lexsort((match.bits, match.notes))[-1])
            if match.notes[at] and (match.notes[at], match.bits[at]) > (best.num_notes, best.bits):
                best = self._copy(piece, match, at)
        return best

    def most_telling(self, piece: Piece, matches: Sequence[LineMatches]) -> Copy:
        """Returns the match that is the least likely as such; a long repeated note is everywhere and tells nothing."""
        telling = [match for match in matches if match.notes.any()]
        if not telling:
            return NO_COPY
        match = max(telling, key=lambda one: one.bits.max())
        return self._copy(piece, match, int(match.bits.argmax()))

    def _copy(self, piece: Piece, match: LineMatches, at: int) -> Copy:
        place, num_notes = int(match.place[at]), int(match.notes[at])
        starts = self._arrays["lines"][:, 0]
        _, source, source_line = self._arrays["lines"][np.searchsorted(starts, place, side="right") - 1]
        line, last = match.line, num_notes - 1
        onsets, pitches = self._arrays["onsets"], self._arrays["pitches"]
        return Copy(
            num_notes=num_notes,
            bits=round(float(match.bits[at]), 1),
            source=self.description["names"][source],
            source_line=self.description["line_names"][source_line],
            source_quarter=float(onsets[place]) / _GRID,
            source_quarters=float(onsets[place + last] - onsets[place]) / _GRID,
            line=line.name,
            quarter=float(line.onset[at]) / piece.ticks_per_quarter,
            quarters=float(line.onset[at + last] - line.onset[at]) / piece.ticks_per_quarter,
            transposition=int(line.pitch[at]) - int(pitches[place]),
        )


def open_index(folder: Path, fingerprint: str) -> CopyIndex | None:
    """Returns the index in a folder, mapped into memory, or None if it is not there or not that of this dataset.

    Of a damaged one a line is logged: it will be made again.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = read_document(path, dict[str, Any], max_bytes=MAX_BYTES)
        if (found.get("format"), found.get("fingerprint")) != (FORMAT, fingerprint):
            return None
        description = check_document(found, IndexFile, where=path)
        arrays = {name: open_array(folder / f"{name}.npy", *kind) for name, kind in _ARRAYS.items()}
        _check(folder, description, arrays)
    except UserError as error:
        logger.warning("%s; the index is made again", error)
        return None
    return CopyIndex(description, arrays)


def _check(folder: Path, description: IndexFile, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuses arrays that do not fit together: numpy would fail in the middle of a search."""
    size, lines = len(arrays["text"]), arrays["lines"]
    names, line_names = len(description["names"]), len(description["line_names"])
    fits = {
        "suffixes": len(arrays["suffixes"]) == size and _is_within(arrays["suffixes"], size),
        "onsets": len(arrays["onsets"]) == size,
        "pitches": len(arrays["pitches"]) == size,
        "text": size > 0 and arrays["text"][-1] == END,
        "lines": lines.shape[1:] == (3,) and all(map(_is_within, lines.T, (size, names, line_names))),
    }
    if wrong := [name for name, does in fits.items() if not does]:
        raise UserError(f"{folder / wrong[0]}.npy: damaged (it does not fit what is beside it)")


def _is_within(values: np.ndarray, size: int) -> bool:
    return len(values) > 0 and bool(values.min() >= 0) and bool(values.max() < size)
