"""The files or members that a unit reads, packed: the driver of a job has all of them in memory."""

import marshal
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

from ostinato.beam_pipelines.inputs.archives import Member
from ostinato.beam_pipelines.inputs.endings import holds_many
from ostinato.beam_pipelines.inputs.places import Place

_WITHOUT_REFERENCES = 2
"""A version of marshal's in which equal values have equal bytes."""


class Entries(Sequence[Place | Member]):
    """Some tens of bytes for each; they are unpacked when they are looked at."""

    def __init__(self, entries: Sequence[Place] | Sequence[Member]) -> None:
        """Packs entries, of one kind all."""
        self.holds_many = any(holds_many(entry[0]) for entry in entries)
        self._kind = type(entries[0]) if entries else Member
        self._length = len(entries)
        self._packed = zlib.compress(marshal.dumps([tuple(entry) for entry in entries], _WITHOUT_REFERENCES), 1)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Place | Member]:
        rows: list[tuple[Any, ...]] = marshal.loads(zlib.decompress(self._packed))
        return map(self._kind._make, rows)

    @overload
    def __getitem__(self, i: int) -> Place | Member: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Place | Member]: ...
    def __getitem__(self, i: int | slice) -> Place | Member | Sequence[Place | Member]:
        return tuple(self)[i]

    def __repr__(self) -> str:
        return f"Entries({list(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entries) and (self._kind, self._packed) == (other._kind, other._packed)

    def __hash__(self) -> int:
        return hash(self._packed)
