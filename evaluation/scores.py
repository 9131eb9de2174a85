"""What every predictor is measured by: the same sums, over the same rows."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class Score(NamedTuple):
    """How well a predictor knew the rows of a split. START rows are given and not counted, END rows are."""

    name: str
    nats_f: Float[np.ndarray, " f"]
    """Sum of -log p of each field, given the fields before it in the row."""
    correct_f: Float[np.ndarray, " f"]
    """Rows in which the likeliest value of the field was right, given the true fields before it."""
    correct_rows: float
    """Rows in which that holds for every field."""
    num_rows: float
    num_notes: float

    @property
    def nats_per_note(self) -> float:
        """All that the music costs, control rows included, over its notes."""
        return float(self.nats_f.sum() / self.num_notes)

    @property
    def nats_per_row(self) -> float:
        """The training loss is in this unit."""
        return float(self.nats_f.sum() / self.num_rows)

    @property
    def perplexity(self) -> float:
        """exp(nats per note)."""
        return float(np.exp(self.nats_per_note))

    @property
    def accuracy(self) -> float:
        """Share of rows that were predicted whole."""
        return float(self.correct_rows / self.num_rows)

    def as_json(self, field_names: tuple[str, ...]) -> dict[str, Any]:
        """Returns the figures of the report."""
        return {
            "name": self.name,
            "nats_per_note": self.nats_per_note,
            "perplexity": self.perplexity,
            "accuracy": self.accuracy,
            "nats_per_row": self.nats_per_row,
            "rows": int(self.num_rows),
            "notes": int(self.num_notes),
            "fields": {
                name: {"nats_per_row": float(nats / self.num_rows), "accuracy": float(correct / self.num_rows)}
                for name, nats, correct in zip(field_names, self.nats_f, self.correct_f, strict=True)
            },
        }
