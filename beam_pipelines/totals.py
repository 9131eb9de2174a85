"""The counts of a whole job, from what was found in one spool file after the other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ostinato.beam_pipelines.duplicates.grouping import Assignment, Duplicate
from ostinato.beam_pipelines.scan import Scanned


class Totals:
    """Counts of inputs, not the inputs themselves."""

    def __init__(self) -> None:
        """Begins at zero."""
        self._by_unit, self._by_reason, self._by_kind = Counter[int](), Counter[str](), Counter[str]()
        self._rejected_by_style, self._repaired = Counter[str](), Counter[str]()
        self._num_notes = self._num_labelled = 0

    def add(self, scanned: Scanned) -> None:
        """Adds a spool file; those of later units come later."""
        self._by_unit[scanned.unit] += scanned.num_inputs
        self._by_reason.update(reject.reason for reject in scanned.rejected)
        self._rejected_by_style.update(scanned.rejected_by_style)
        self._repaired.update(scanned.repaired)
        self._num_notes += int(scanned.result.num_notes.sum(dtype=int))
        self._num_labelled += scanned.num_labelled

    def count_duplicates(self, duplicates: Iterable[Duplicate]) -> Iterator[Duplicate]:
        """Yields duplicates and counts them on the way."""
        for duplicate in duplicates:
            self._by_kind[duplicate.kind] += 1
            yield duplicate

    def summary(self, assignment: Assignment) -> dict[str, Any]:
        """Returns what the end of the job is told."""
        found, accepted = assignment.count_styles()
        rejected = self._rejected_by_style
        return {
            "inputs": self._by_unit.total(),
            "inputs_by_unit": dict(sorted(self._by_unit.items())),
            "rejected_by_reason": _sorted(self._by_reason),
            "duplicates_by_kind": _sorted(self._by_kind),
            "salvaged": _sorted(self._repaired),
            "by_style": {
                style: {
                    "accepted": accepted.get(style, 0),
                    "rejected": rejected[style],
                    "duplicates": found.get(style, 0) - accepted.get(style, 0),
                }
                for style in sorted(found.keys() | rejected.keys())
            },
            "notes": self._num_notes,
            "labelled": self._num_labelled,
            "groups": assignment.num_groups,
            "moved": assignment.moved,
            "shards": len(assignment.shards),
            "keys": [_shard_key(*shard) for shard in assignment.shards],
        }


def _shard_key(split: str, shard: int, num_shards: int) -> str:
    """Returns what names a shard in the work folder; it sorts by shard."""
    return f"{split}/{shard:05d}/{num_shards:05d}"


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns counts by name: how the inputs are divided into units must not show."""
    return dict(sorted(counts.items()))
