"""Columns of numbers on disk: what is known of millions of pieces is read a part at a time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int64, Shaped

_BLOCK_ROWS = 1 << 20
_RANGE_ROWS = 1 << 18
"""About so many equal or neighbouring hashes are looked at at once."""


class Column:
    """Rows of numbers of one type in a file, which is added to and then read."""

    def __init__(self, path: Path, dtype: type[np.generic], *width: int) -> None:
        """Makes the file.

        Args:
            path: must not exist.
            dtype: of the numbers.
            width: how many stand in a row; none is one number, and reading it gives no second axis.
        """
        self._file: BinaryIO = path.open("x+b", buffering=1 << 16)
        self._dtype, self._width = np.dtype(dtype), width
        self._row_bytes = self._dtype.itemsize * int(np.prod(width))
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def append(self, rows: Shaped[np.ndarray, " k *w"]) -> None:
        """Adds rows behind the last one."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._length += len(rows)

    def read(self, begin: int = 0, end: int | None = None) -> Shaped[np.ndarray, " k *w"]:
        """Returns the rows from one number to another, or all."""
        end = self._length if end is None else min(end, self._length)
        self._file.flush()
        found = np.empty((max(end - begin, 0), *self._width), self._dtype)
        if not found.size:
            return found
        buffer = found.data.cast("B")
        done = 0
        while done < len(buffer):
            done += os.preadv(self._file.fileno(), [buffer[done:]], begin * self._row_bytes + done)
        return found

    def take(self, rows: Int64[np.ndarray, " k"]) -> Shaped[np.ndarray, " k *w"]:
        """Returns rows by their numbers, in any order.

        They are read one by one: of a mapped file the system counts what lies around each as memory of the process.
        """
        self._file.flush()
        number, size = self._file.fileno(), self._row_bytes
        data = b"".join([os.pread(number, size, row * size) for row in rows.tolist()])
        return np.frombuffer(data, self._dtype).reshape(len(rows), *self._width)

    def in_ranges(self) -> Iterator[tuple[Int64[np.ndarray, " k"], Shaped[np.ndarray, " k"]]]:
        """Yields the numbers and the values of some rows at a time, so that equal values come together.

        The values are hashes, of which about as many fall into one range as into another.
        """
        bits = 8 * self._dtype.itemsize
        num_ranges = 1 << max(0, (self._length // _RANGE_ROWS).bit_length())
        shift = self._dtype.type(bits - num_ranges.bit_length() + 1)
        for number in range(num_ranges):
            rows, values = [], []
            for begin in range(0, self._length, _BLOCK_ROWS):
                block = self.read(begin, begin + _BLOCK_ROWS)
                here = np.flatnonzero(block >> shift == number) if num_ranges > 1 else np.arange(len(block))
                rows.append(here + begin)
                values.append(block[here])
            if rows:
                yield np.concatenate(rows), np.concatenate(values)
