"""The knobs of sequence GAN training; only the standard library is imported here."""

from dataclasses import dataclass

from ostinato.configs.checks import check_bounds, check_positive


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """Sequence GAN training of a trained run, with --init-from RUN.

    A judge says, event by event, whether it hears real music or what the network continues it with, and the network
    learns from what the judge takes for real. A copy gate does not write; the key that a network is told stays. The
    latest checkpoint is the result, not that of the lowest validation loss.
    """

    weight: float = 0.0
    """Weight of what the judge says; 0 trains without it."""
    likelihood_weight: float = 1.0
    """Weight of the likelihood of real music, which keeps the network from generating only what the judge prefers."""
    window: int = 32
    """Events that the network continues each row of a batch with; what is before them is real. Fewer than
    --data.sequence-length."""
    discount: float = 0.9
    """What an event is worth by the rewards after it: each counts this share of the one before."""
    judge_size: int = 64
    """Units of the judge's recurrent layer, and width of its embeddings."""
    judge_learning_rate: float = 1e-3
    """Of the judge; it is constant."""

    def __post_init__(self) -> None:
        check_bounds(self, "weight likelihood_weight", 0)
        check_bounds(self, "discount", 0, 1)
        check_bounds(self, "window judge_size", 1)
        check_positive(self, "judge_learning_rate")
