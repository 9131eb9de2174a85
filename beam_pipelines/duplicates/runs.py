"""Rows in order that do not fit into memory: sorted runs on disk, merged as they are read."""

import heapq
import marshal
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

_ROWS_AT_ONCE = 64
"""Of each run; there is a run for each spool file."""


class SortedRuns:
    """Runs of tuples of text and numbers."""

    def __init__(self, path: Path) -> None:
        """Makes the file, which must not exist."""
        self._file: BinaryIO = path.open("x+b")
        self._runs: list[list[tuple[int, int]]] = []

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Adds some rows, in any order."""
        ordered = sorted(map(tuple, rows))
        run = []
        for begin in range(0, len(ordered), _ROWS_AT_ONCE):
            data = marshal.dumps(ordered[begin : begin + _ROWS_AT_ONCE])
            run.append((self._file.tell(), len(data)))
            self._file.write(data)
        self._runs.append(run)

    def merged(self) -> Iterator[tuple[Any, ...]]:
        """Yields all rows in order."""
        self._file.flush()
        return heapq.merge(*map(self._read, self._runs))

    def _read(self, run: list[tuple[int, int]]) -> Iterator[tuple[Any, ...]]:
        for offset, length in run:
            yield from marshal.loads(os.pread(self._file.fileno(), length, offset))
