"""What became of the notes of a file on the way into a dataset, in counts that can be added up."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NoteAccount:
    """Notes of one piece or of many: read = left_out + merged + those that are in the dataset."""

    read: int = 0
    """In the files that are in the dataset."""
    left_out: int = 0
    """That the codec does not say: the notes codec leaves drums, doubled notes and unknown chords out."""
    merged: int = 0
    """That are one with another: of the same program and pitch, at the same time or almost."""
    shortened: int = 0
    """Cut where the next of the same program and pitch begins."""
    unreleased: int = 0
    """That nothing ended, or only a command to be silent."""
    no_length: int = 0
    """That ended where they began, and were given a sixteenth."""
    prolonged: int = 0
    """That a pedal makes last longer; heard or not, as `pedal` says."""
    given_up: int = 0
    """In tracks that could not be read, as far as they could; not among those that were read."""
    bends: int = 0
    """Pitch bends (not notes), which are not heard."""

    def __add__(self, other: "NoteAccount") -> "NoteAccount":
        return NoteAccount(**{name: getattr(self, name) + getattr(other, name) for name in COUNTS})

    @property
    def kept(self) -> int:
        """Notes in the dataset."""
        return self.read - self.left_out - self.merged


COUNTS = tuple(field.name for field in dataclasses.fields(NoteAccount))
"""The names of the counts, in order."""
