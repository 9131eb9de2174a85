"""The counts of a whole job, from what was found in one spool file after the other."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ostinato.beam_pipelines.duplicates.grouping import Assignment, Duplicate
from ostinato.beam_pipelines.scan import Scanned


class Totals:
    """Counts of inputs, not the inputs themselves."""

    def __init__(self) -> None:
        """Begins at zero."""
        self._by_unit, self._by_reason, self._by_kind = Counter[int](), Counter[str](), Counter[str]()
        self._rejected_by_style, self._repaired = Counter[str](), Counter[str]()
        self._num_notes = self._num_labelled = self._num_units = 0

    def add(self, scanned: Scanned) -> None:
        """Adds a spool file; those of later units come later."""
        self._by_unit[scanned.unit] += scanned.num_inputs
        self._by_reason.update(reject.reason for reject in scanned.rejected)
        self._rejected_by_style.update(scanned.rejected_by_style)
        self._repaired.update(scanned.repaired)
        self._num_notes += int(scanned.result.num_notes.sum(dtype=int))
        self._num_labelled += scanned.num_labelled
        self._num_units = scanned.unit + 1

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
            "inputs_by_unit": [self._by_unit[number] for number in range(self._num_units)],
            "rejected_by_reason": self._by_reason,
            "duplicates_by_kind": self._by_kind,
            "salvaged": self._repaired,
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
        }
