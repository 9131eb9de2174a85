"""The paper's table of a run: training loss, validation loss, validation accuracy and perplexity, first and last."""

from pathlib import Path
from typing import NamedTuple

from ostinato.configs.errors import UserError
from ostinato.train.metrics import FILE, read_lines

_METRICS = {
    "training loss": ("train", "loss"),
    "validation loss": ("validation", "loss"),
    "validation accuracy": ("validation", "accuracy"),
    "perplexity": ("validation", "perplexity"),
}


class PaperRow(NamedTuple):
    """One line of the table. Losses are in nats per row; perplexity is exp of the validation loss."""

    metric: str
    initial: float
    final: float

    @property
    def improvement(self) -> float | None:
        """Relative change in the good direction, 0.5 for a loss that was halved; None if it began at zero."""
        change = self.final - self.initial if self.metric == "validation accuracy" else self.initial - self.final
        return change / self.initial if self.initial else None


def paper_table(workdir: Path) -> list[PaperRow]:
    """Returns the table from the metrics that the run wrote itself: the first and the last number of each.

    A step that was skipped, since its loss was no number, has none.

    Raises:
        UserError: the run has no metrics yet.
    """
    path = workdir / FILE
    if not path.is_file():
        raise UserError(f"{path}: missing; run 'ostinato train' first")
    lines = read_lines(path)
    rows = []
    for metric, (split, key) in _METRICS.items():
        values = [line[key] for line in lines if line.get("split") == split and line.get(key) is not None]
        if values:
            rows.append(PaperRow(metric, values[0], values[-1]))
    return rows
