"""All usable pieces of a collection, as the scan found them: on disk, but for a few numbers of each."""

import contextlib
import marshal
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int8, Int32, Int64, Shaped, UInt8

from ostinato.beam_pipelines.duplicates.fingerprint import Stacked
from ostinato.beam_pipelines.duplicates.prints import Prints
from ostinato.beam_pipelines.duplicates.runs import SortedRuns
from ostinato.beam_pipelines.duplicates.stored import Column
from ostinato.data.records import SPLITS


class ScanResult(NamedTuple):
    """The usable pieces in one spool file as columns of length n."""

    spool: int
    """Number of the file."""
    name: list[str]
    style: list[str]
    split: list[str]
    """Where the user fixed it; otherwise empty."""
    group: list[str]
    """Likewise: pieces with the same name are one group."""
    sha256: UInt8[np.ndarray, "n 32"]
    """Of the bytes of the file."""
    num_notes: Int32[np.ndarray, " n"]
    prints: Stacked
    offset: Int64[np.ndarray, " n"]
    """Bytes, in the spool file."""
    length: Int64[np.ndarray, " n"]
    """Bytes."""
    metadata: list[str]
    """JSON text of further columns of the labels; may be empty."""


class Text(NamedTuple):
    """What is written of a piece."""

    name: str
    style: str
    metadata: str


class Pieces:
    """Pieces are numbered from 0 in the order in which they were added; see `open_pieces`."""

    def __init__(self, folder: Path) -> None:
        """Makes files in a folder that is there."""
        self.prints = Prints(folder)
        self.sha256 = Column(folder / "sha256", np.uint8, 32)
        self.place = Column(folder / "place", np.int64, 3)
        """Spool file, offset and length of each."""
        self.num_notes: Int32[np.ndarray, " n"] = np.zeros(0, np.int32)
        self.split: Int8[np.ndarray, " n"] = np.zeros(0, np.int8)
        """Number of the split that the user fixed, or -1."""
        self.group: Int32[np.ndarray, " n"] = np.zeros(0, np.int32)
        """Equal for pieces that the user put into one group, or -1."""
        self.style: Int32[np.ndarray, " n"] = np.zeros(0, np.int32)
        """Place in `styles`."""
        self.styles: dict[str, int] = {}
        self._groups: dict[str, int] = {"": -1}
        self._text: BinaryIO = (folder / "text").open("x+b")
        self._text_end = Column(folder / "text_end", np.int64)
        self._names = SortedRuns(folder / "names")

    def __len__(self) -> int:
        return len(self.num_notes)

    def close(self) -> None:
        """Closes all files."""
        for one in (self.prints, self.sha256, self.place, self._text, self._text_end, self._names):
            one.close()

    def add(self, result: ScanResult) -> None:
        """Adds the pieces of a spool file."""
        first, count = len(self), len(result.name)
        self._names.add(zip(result.name, range(first, first + count), strict=True))
        ends = []
        for text in zip(result.name, result.style, result.metadata, strict=True):
            self._text.write(marshal.dumps(text))
            ends.append(self._text.tell())
        self._text_end.append(np.array(ends, np.int64))
        self.prints.add(result.prints)
        self.sha256.append(result.sha256)
        self.place.append(np.stack([np.full(count, result.spool), result.offset, result.length], axis=1))
        split = [SPLITS.index(name) if name else -1 for name in result.split]
        group = [self._groups.setdefault(name, len(self._groups) - 1) for name in result.group]
        style = [self.styles.setdefault(name, len(self.styles)) for name in result.style]
        self.num_notes = np.concatenate([self.num_notes, result.num_notes.astype(np.int32)])
        self.split = np.concatenate([self.split, np.array(split, np.int8)])
        self.group = np.concatenate([self.group, np.array(group, np.int32)])
        self.style = np.concatenate([self.style, np.array(style, np.int32)])

    def by_name(self) -> Int32[np.ndarray, " n"]:
        """Returns the pieces in the order of their names."""
        return np.fromiter((number for _, number in self._names.merged()), np.int32, len(self))

    def places_in(self, splits: Mapping[str, str]) -> Int8[np.ndarray, " n"]:
        """Returns the number of the split in which each piece is by its name, or -1."""
        found = np.full(len(self), -1, np.int8)
        if splits:
            for name, number in self._names.merged():
                found[number] = SPLITS.index(splits[name]) if name in splits else -1
        return found

    def text(self, piece: int) -> Text:
        """Returns what is written of a piece."""
        begin, end = (0, *self._text_end.read(0, 1)) if not piece else self._text_end.read(piece - 1, piece + 1)
        self._text.flush()
        return Text(*marshal.loads(os.pread(self._text.fileno(), int(end - begin), int(begin))))

    def ids(self, pieces: Shaped[np.ndarray, " k"]) -> list[str]:
        """Returns the SHA-256 of pieces in hexadecimal."""
        text = self.sha256.take(pieces).tobytes().hex()
        return [text[i : i + 64] for i in range(0, len(text), 64)]


@contextlib.contextmanager
def open_pieces(folder: str | None = None) -> Iterator[tuple[Pieces, Path]]:
    """Yields a table without pieces and the folder of its files (4 kB for each), which is gone when the block ends.

    Args:
        folder: a new folder is made in it; by default in that of the system for such.
    """
    with (
        tempfile.TemporaryDirectory(prefix="pieces-", dir=folder) as own,
        contextlib.closing(Pieces(Path(own))) as pieces,
    ):
        yield pieces, Path(own)
