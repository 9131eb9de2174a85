"""The recipes of the benchmark. Validation scores may choose between recipes; test scores may not.

Most are first tries. Those that transpose were chosen by validation, among six tries for JSB's column A and two for
the others: docs/rolls.md names them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from ostinato.benchmarks.rolls.network import Regularisation

Column = Literal["frame", "chord"]
"""frame is column A, independent keys; chord is column B, the keys of a frame one after the other."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model and its training."""

    column: Column
    hidden_size: int
    num_layers: int = 1
    head_size: int = 0
    """Of the chord head."""
    num_epochs: int = 100
    learning_rate: float = 2e-3
    """At its highest; it rises for a twentieth of all steps and then falls to zero as a cosine does."""
    weight_decay: float = 0.0
    num_rows: int = 16
    """Pieces side by side."""
    length: int = 64
    """Frames between two updates; the state is carried over, the gradient is not."""
    regularisation: Regularisation = field(default_factory=Regularisation)
    average_decay: float = 0.995
    """Of the running average of the parameters, which is what is measured."""
    most_shift: int = 0
    """Semitones by which training pieces are transposed at most. The network is told by how many."""
    share_unshifted: float = 0.3
    """Of the pieces of an epoch that are left as they are."""
    validate_every: int = 1
    """Epochs."""


_SMALL = Regularisation(input=0.1, hidden=0.5, recurrent=0.4, head=0.1)
_LARGE = Regularisation(input=0.05, hidden=0.3, recurrent=0.3, head=0.1)


def _recipe(
    column: Column,
    hidden_size: int,
    num_epochs: int,
    num_rows: int,
    length: int,
    regularisation: Regularisation,
    most_shift: int = 0,
) -> Recipe:
    return Recipe(
        column=column,
        hidden_size=hidden_size,
        head_size=hidden_size if column == "chord" else 0,
        num_epochs=num_epochs,
        learning_rate=3e-3,
        num_rows=num_rows,
        length=length,
        average_decay=0.99,
        # The frame head has no hidden units.
        regularisation=regularisation if column == "chord" else regularisation._replace(head=0.0),
        most_shift=most_shift,
    )


RECIPES: dict[tuple[str, Column], Recipe] = {
    ("jsb", "frame"): _recipe("frame", 300, 300, 8, 64, _SMALL, most_shift=5),
    ("jsb", "chord"): _recipe("chord", 200, 200, 8, 64, _SMALL, most_shift=5),
    ("nottingham", "frame"): _recipe("frame", 400, 60, 16, 100, _LARGE, most_shift=5),
    ("nottingham", "chord"): _recipe("chord", 300, 20, 16, 100, _LARGE),
    ("piano-midi", "frame"): _recipe("frame", 300, 30, 16, 100, _SMALL),
    ("piano-midi", "chord"): _recipe("chord", 300, 30, 16, 100, _SMALL),
    ("musedata", "frame"): _recipe("frame", 400, 20, 16, 100, _LARGE),
    ("musedata", "chord"): _recipe("chord", 300, 20, 16, 100, _LARGE),
}

_SMOKE_TRAINING: dict[str, Any] = {"num_epochs": 2, "learning_rate": 1e-2, "num_rows": 4, "average_decay": 0.9}

SMOKE: dict[tuple[str, Column], Recipe] = {
    ("jsb", "frame"): Recipe(column="frame", hidden_size=32, **_SMOKE_TRAINING),
    ("jsb", "chord"): Recipe(column="chord", hidden_size=32, head_size=32, **_SMOKE_TRAINING),
}
"""Shows in less than a minute that the benchmark runs; its scores mean nothing."""
