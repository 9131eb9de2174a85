"""The records of a split in a store: those that will be read soon are asked for side by side, and ahead of time.

The order of an epoch is random, so that what lies behind a record in its file is of no use; the loader knows what comes
next and says so. Whoever reads one record after the other gets the following ones with it.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from ostinato.data.record_index import RecordIndex
from ostinato.data.store import Range, Store

KEPT_BYTES = 64 << 20
"""Of records that were asked for ahead; the oldest are dropped."""
BLOCK_BYTES = 4 << 20
"""So much is read at once where records are read one after the other."""


class RemoteRecords:
    """Framed records by their number. Threads may share it."""

    def __init__(self, store: Store, files: Sequence[str], num_bytes: Sequence[int], index: RecordIndex) -> None:
        """Takes the names and sizes of the shards, and where the records are in them."""
        self._store, self._files, self._num_bytes, self._index = store, files, num_bytes, index
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._next = -1
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> bytes:
        with self._lock:
            found = self._kept.get(number)
            is_next, self._next = number == self._next, number + 1
        if found is None:
            begin, count = self._range(number), 1
            while is_next and self._follows(number + count, begin):
                count += 1
            self._read([range(number, number + count)])
            with self._lock:
                found = self._kept.get(number)
        # Other threads may have asked for so much that it is gone again.
        return found if found is not None else self._store.read_ranges([self._range(number)])[0]

    def read_ahead(self, numbers: Iterable[int]) -> None:
        """Reads records that are not kept, each with a request of its own, side by side."""
        with self._lock:
            wanted = [number for number in dict.fromkeys(numbers) if number not in self._kept]
        self._read([range(number, number + 1) for number in wanted])

    def _read(self, runs: Sequence[range]) -> None:
        ranges = [self._range(run[0])._replace(end=self._range(run[-1]).end) for run in runs]
        for run, part, data in zip(runs, ranges, self._store.read_ranges(ranges), strict=True):
            for number in run:
                one = self._range(number)
                self._keep(number, data[one.begin - part.begin : one.end - part.begin])

    def _keep(self, number: int, data: bytes) -> None:
        with self._lock:
            self._kept_bytes += len(data) - len(self._kept.pop(number, b""))
            self._kept[number] = data
            while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def _range(self, number: int) -> Range:
        """Returns the place of a record; it ends where the next one of its file begins."""
        shard, begin = int(self._index.shards[number]), int(self._index.offsets[number])
        end = self._num_bytes[shard]
        if number + 1 < len(self._index.shards) and self._index.shards[number + 1] == shard:
            following = int(self._index.offsets[number + 1])
            end = following if following > begin else end
        return Range(self._files[shard], begin, end)

    def _follows(self, number: int, begin: Range) -> bool:
        """Tells whether a record lies in the block that begins with another one, each behind the one before."""
        if number >= len(self._index.shards):
            return False
        before, here = self._range(number - 1), self._range(number)
        return here.name == begin.name and before.end == here.begin and here.end - begin.begin <= BLOCK_BYTES
