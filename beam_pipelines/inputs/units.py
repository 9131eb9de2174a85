"""Units: what one worker reads at a time, as the driver finds it and as the work folder keeps it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, cast

from ostinato.beam_pipelines.inputs.archives import Member, Refusal
from ostinato.beam_pipelines.inputs.entries import Entries
from ostinato.beam_pipelines.inputs.errors import SourceError
from ostinato.beam_pipelines.inputs.places import Place

_NONE = Entries(())


class Unit(NamedTuple):
    """What one worker reads at a time."""

    kind: Literal["files", "zip", "tar", "stream", "7z"]
    base: str
    """Folder to which paths on this machine are relative."""
    path: str = ""
    """Of the archive."""
    key: str = ""
    """Of the archive."""
    named: bool = True
    """Whether the user named the archive itself: the keys of its members are then their names."""
    entries: Entries = _NONE
    """The files, or the members with their places in the archive; empty for a stream."""
    part: int = 0
    parts: int = 1
    """Of a stream: this unit has the inputs i with i % parts == part."""
    fault: Refusal | None = None
    """What was found wrong with the archive; the archive itself is then the last input of the unit."""
    version: str = ""
    """Of the archive; see `files.version_of`."""

    @property
    def is_versioned(self) -> bool:
        """Whether it can be told if what the unit reads has changed."""
        if self.kind == "files":
            return all(entry.version for entry in self.entries if isinstance(entry, Place))
        return bool(self.version)

    @property
    def num_inputs(self) -> int | None:
        """None where only reading tells."""
        if (self.kind == "stream" and not self.fault) or self.holds_many:
            return None
        return len(self.entries) + bool(self.fault)

    @property
    def holds_many(self) -> bool:
        """Whether a file or member holds more than one input."""
        return self.entries.holds_many

    def identity(self, settings: str) -> str:
        """Returns what names the content of the unit's spools: a digest of what it reads, and of the settings."""
        return hashlib.sha256(f"{settings}\n{self.to_json()}".encode()).hexdigest()

    def to_json(self) -> str:
        """Returns the unit as JSON; names that are no UTF-8 are escaped."""
        return json.dumps([list(value) if isinstance(value, Entries) else value for value in self])

    @classmethod
    def from_json(cls, data: bytes) -> "Unit":
        """Returns what `to_json` has written.

        Raises:
            ValueError: it has not.
        """
        try:
            values: list[Any] = json.loads(data)
            unit = cls._make(values)
            rows = cast("list[Any]", unit.entries)
            is_files = unit.kind == "files"
            entries = Entries([*map(Place._make, rows)] if is_files else [*map(_member, rows)])
            return unit._replace(entries=entries, fault=_refusal(unit.fault))
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a unit ({error})") from error


def check_streams(units: Iterable[Unit], counts: Iterable[int]) -> None:
    """Checks that the units which share an archive saw the same members.

    Args:
        units: all of a job.
        counts: how many inputs each has yielded.

    Raises:
        SourceError: they did not; the archive changed while it was being read.
    """
    shares: dict[str, list[tuple[Unit, int]]] = {}
    for unit, count in zip(units, counts, strict=True):
        if unit.kind == "stream" and not unit.fault:
            shares.setdefault(unit.path, []).append((unit, count))
    for path, share in shares.items():
        total = sum(count for _, count in share)
        if any(count != len(range(unit.part, total, unit.parts)) for unit, count in share):
            found = ", ".join(str(count) for _, count in share)
            raise SourceError(f"{path}: changed while it was being read (shares of {found} inputs); run it again")


def _member(values: list[Any]) -> Member:
    member = Member._make(values)
    return member._replace(refusal=_refusal(member.refusal))


def _refusal(values: Any) -> Refusal | None:
    return None if values is None else (values[0], values[1])
