"""Named configurations. A preset is a function; a new one derives from another with `dataclasses.replace`."""

from collections.abc import Callable
from dataclasses import dataclass

from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How the data is prepared and how the model is trained on it."""

    prepare: PrepareConfig
    train: TrainConfig


def debug() -> Preset:
    """The whole path on a tiny model in half a minute on a CPU, to see that everything works."""
    return Preset(
        prepare=PrepareConfig(),
        train=TrainConfig(
            model=ModelConfig(
                embedding_size=16, hidden_size=32, num_layers=1, norm="pre", copy=True, head_size=16, dropout=0.1
            ),
            data=DataConfig(batch_size=8, sequence_length=32, misheard=0.03),
            optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=10),
            num_steps=60,
            evaluate_every=30,
            log_every=10,
        ),
    )


def chorales() -> Preset:
    """The demo: some hundred short pieces, minutes on two CPU cores.

    Bach set many tunes several times; all settings stay, those of one tune in one split.
    """
    return Preset(
        prepare=PrepareConfig(duplicates="variants"),
        train=TrainConfig(
            model=ModelConfig(
                embedding_size=128,
                hidden_size=256,
                num_layers=2,
                norm="pre",
                copy=True,
                key_condition=True,
                head_size=128,
                dropout=0.3,
            ),
            data=DataConfig(batch_size=16, sequence_length=64, max_transpose=5, mark_transposed=True, misheard=0.03),
            optimizer=OptimizerConfig(learning_rate=4e-3, warmup_steps=50),
            num_steps=2400,
            evaluate_every=200,
            patience=5,
        ),
    )


def paper() -> Preset:
    """The paper's model: unique integers, windows of 50, inputs from 0 to 1, stacked LSTM, 80/20 split.

    The paper validates on its held-out fifth, so there is no separate test split.
    """
    return Preset(
        prepare=PrepareConfig(codec=CodecConfig(name="notes"), split=(80, 20, 0)),
        train=TrainConfig(
            model=ModelConfig(
                inputs="normalized", hidden_size=512, num_layers=3, residual=False, head_size=256, dropout=0.3
            ),
            data=DataConfig(order="windows", batch_size=64, sequence_length=50),
            optimizer=OptimizerConfig(learning_rate=1e-3, schedule="constant", warmup_steps=0),
            num_epochs=100,
            patience=10,
        ),
    )


def lakh() -> Preset:
    """A large model for a large collection of many instruments, on accelerators."""
    return Preset(
        prepare=PrepareConfig(min_notes=64),
        train=TrainConfig(
            model=ModelConfig(
                embedding_size=512,
                hidden_size=2048,
                num_layers=3,
                norm="pre",
                copy=True,
                key_condition=True,
                head_size=512,
                dropout=0.1,
            ),
            data=DataConfig(
                batch_size=512,
                sequence_length=512,
                max_transpose=5,
                mark_transposed=True,
                key_quarters=80,
                misheard=0.03,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=2000, weight_decay=0.01),
            num_epochs=10,
            evaluate_every=2000,
            checkpoint_every=1000,
            log_every=50,
        ),
    )


PRESETS: dict[str, Callable[[], Preset]] = {"chorales": chorales, "debug": debug, "paper": paper, "lakh": lakh}
