"""The paper's table of a run: training loss, validation loss, validation accuracy and perplexity, first and last."""

import json
from pathlib import Path
from typing import NamedTuple

from ostinato.configs.errors import UserError
from ostinato.train.metrics import FILE


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
    """Returns the table from the metrics that the run wrote itself; final is the last measurement of the run.

    Raises:
        UserError: the run has no metrics yet.
    """
    path = workdir / FILE
    if not path.is_file():
        raise UserError(f"{path}: missing; run 'ostinato train' first")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    of_split = {split: [line for line in lines if line["split"] == split] for split in ("train", "validation")}
    rows = []
    for metric, split, key in (
        ("training loss", "train", "loss"),
        ("validation loss", "validation", "loss"),
        ("validation accuracy", "validation", "accuracy"),
        ("perplexity", "validation", "perplexity"),
    ):
        if of_split[split]:
            rows.append(PaperRow(metric, of_split[split][0][key], of_split[split][-1][key]))
    return rows
