"""Every knob of preparing a collection, as frozen dataclasses; see `schema` for the others."""

from dataclasses import dataclass, field
from typing import Literal

from ostinato.configs.checks import check_bounds
from ostinato.configs.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """How a piece of music becomes events of integers."""

    name: Literal["score", "notes"] = "score"
    """score: one event per note with time, instrument, pitch, duration and loudness. notes: the paper's single integer
    per note or chord."""
    style: Literal["auto", "none", "folder", "labels"] = "auto"
    """What the model learns to tell apart and to follow. folder: the name of a file's parent folder. labels: the column
    `style` of the file given by --labels. none: one style for all. auto: labels where there are any, else none."""
    min_count: int = 2
    """notes only: a note or chord that occurs less often in the training split becomes the 'unknown' integer."""
    max_vocabulary: int = 8192
    """notes only: at most this many different integers are kept, the most frequent first."""

    def __post_init__(self) -> None:
        check_bounds(self, "min_count", 1)
        check_bounds(self, "max_vocabulary", 8, 65_535)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a collection of MIDI files becomes a dataset."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    split: tuple[int, int, int] = (80, 10, 10)
    """Per cent of the pieces for training, validation and test. Duplicates always share a split."""
    num_shards: int = 0
    """Files for the training split (the others get fewer, in proportion); 0 chooses by the number of inputs."""
    min_notes: int = 16
    """A piece with fewer notes is left out (and listed in rejects.jsonl)."""
    max_notes: int = 200_000
    """A piece with more notes is left out (and listed in rejects.jsonl)."""
    max_file_mb: int = 16
    """A larger file is left out without being opened (and listed in rejects.jsonl)."""
    max_parse_mb: int = 1024
    """A file whose parsing takes more memory is left out (and listed in rejects.jsonl)."""
    max_parse_s: int = 20
    """A file whose parsing takes more seconds of CPU time is left out (and listed in rejects.jsonl)."""
    duplicates: Literal["drop", "variants", "keep"] = "drop"
    """drop: of pieces that hold the same or nearly the same music one is kept, that with the most notes. variants: of
    those that hold the same music one is kept; other arrangements and endings stay, in one split. keep: all stay, in
    one split."""
    pedal: Literal["on", "off"] = "on"
    """on: notes last as long as the sustain and sostenuto pedals hold them. off: as long as the keys are down."""
    bars: Literal["heard", "written"] = "heard"
    """heard: where a file has bars of one beat (1/4, as beat trackers write), bars of three or four are sought in its
    music. written: all bars are those of the files."""
    seed: int = 0
    """Another seed gives another split."""

    def __post_init__(self) -> None:
        if sum(self.split) != 100 or min(self.split) < 0 or self.split[0] == 0:
            raise UserError(f"split {self.split} must be three percentages that add up to 100, the first above 0")
        if self.min_notes > self.max_notes:
            raise UserError(f"min_notes {self.min_notes} must be between 1 and max_notes {self.max_notes}")
        check_bounds(self, "num_shards", 0)
        check_bounds(self, "min_notes max_file_mb max_parse_s", 1)
        check_bounds(self, "max_parse_mb", 128)  # or healthy files fail too
