"""How a model of the benchmark is made: sizes, what training drops, schedule."""

from dataclasses import dataclass, field
from typing import Literal

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
