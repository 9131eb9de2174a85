"""The recipes of the benchmark. Validation scores may choose between recipes; test scores may not.

Most are first tries. Those that transpose were chosen by validation, among six tries for JSB's column A and two for
the others: docs/rolls.md names them.
"""

from dataclasses import replace
from typing import Any

from ostinato.benchmarks.rolls.network import Regularisation
from ostinato.benchmarks.rolls.recipe import Column, Recipe

_SMALL = Regularisation(input=0.1, hidden=0.5, recurrent=0.4, head=0.1)
_LARGE = Regularisation(input=0.05, hidden=0.3, recurrent=0.3, head=0.1)


def _frame(hidden_size: int, num_epochs: int, num_rows: int, length: int, regularisation: Regularisation) -> Recipe:
    return Recipe(
        column="frame",
        hidden_size=hidden_size,
        num_epochs=num_epochs,
        learning_rate=3e-3,
        num_rows=num_rows,
        length=length,
        average_decay=0.99,
        regularisation=regularisation._replace(head=0.0),  # the frame head has no hidden units
    )


def _chord(hidden_size: int, num_epochs: int, num_rows: int, length: int, regularisation: Regularisation) -> Recipe:
    return Recipe(
        column="chord",
        hidden_size=hidden_size,
        head_size=hidden_size,
        num_epochs=num_epochs,
        learning_rate=3e-3,
        num_rows=num_rows,
        length=length,
        average_decay=0.99,
        regularisation=regularisation,
    )


RECIPES: dict[tuple[str, Column], Recipe] = {
    ("jsb", "frame"): replace(_frame(300, 300, 8, 64, _SMALL), most_shift=5),
    ("jsb", "chord"): replace(_chord(200, 200, 8, 64, _SMALL), most_shift=5),
    ("nottingham", "frame"): replace(_frame(400, 60, 16, 100, _LARGE), most_shift=5),
    ("nottingham", "chord"): _chord(300, 20, 16, 100, _LARGE),
    ("piano-midi", "frame"): _frame(300, 30, 16, 100, _SMALL),
    ("piano-midi", "chord"): _chord(300, 30, 16, 100, _SMALL),
    ("musedata", "frame"): _frame(400, 20, 16, 100, _LARGE),
    ("musedata", "chord"): _chord(300, 20, 16, 100, _LARGE),
}

_SMOKE_TRAINING: dict[str, Any] = {"num_epochs": 2, "learning_rate": 1e-2, "num_rows": 4, "average_decay": 0.9}

SMOKE: dict[tuple[str, Column], Recipe] = {
    ("jsb", "frame"): Recipe(column="frame", hidden_size=32, **_SMOKE_TRAINING),
    ("jsb", "chord"): Recipe(column="chord", hidden_size=32, head_size=32, **_SMOKE_TRAINING),
}
"""Shows in less than a minute that the benchmark runs; its scores mean nothing."""
