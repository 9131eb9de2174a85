"""What every stage of `benchmarks.gpu` is given."""

import time
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax

from ostinato.benchmarks.gpu.results import append, read
from ostinato.configs.schema import CellName, ModelConfig
from ostinato.music.score_codec import ScoreCodec

CELLS: tuple[CellName, ...] = tuple(cell for cell in get_args(CellName) if cell != "transformer")
"""The cells that are measured here; other benchmarks compare with the transformer."""
PRECISIONS = ("float32", "tf32", "bf16")
"""float32: matmuls in full float32. tf32: what JAX does with float32 on NVIDIA's GPUs. bf16: `--model.precision`."""
FIELD_SIZES = tuple(field.size for field in ScoreCodec().fields)


class Shape(NamedTuple):
    """A network and a batch."""

    num_layers: int
    hidden_size: int
    batch_size: int
    length: int

    def __str__(self) -> str:
        return f"{self.num_layers} x {self.hidden_size}, batch {self.batch_size:,}, t = {self.length}"


class Context(NamedTuple):
    """One stage of one run."""

    stage: str
    output: Path
    end_s: float
    """When the stage has to be done, as `time.time()` counts."""
    smoke: bool

    @property
    def left_s(self) -> float:
        return self.end_s - time.time()

    def write(self, kind: str, **values: Any) -> None:
        """Adds a line to the results. It is on disk when this returns."""
        append(self.output, {"stage": self.stage, "kind": kind, **values})

    def read(self, kind: str) -> list[dict[str, Any]]:
        """Returns the lines of a kind that were written so far, by any stage."""
        return [one for one in read(self.output) if one["kind"] == kind]


def model_config(precision: str, **values: Any) -> ModelConfig:
    """Returns a network as it is measured: a plain stack, without dropout, as torch.nn.LSTM is one."""
    norm = "pre" if values.get("cell") == "mlstm" else "none"  # an mLSTM is a block of a residual stream
    plain: dict[str, Any] = {"residual": False, "dropout": 0.0, "norm": norm, **values}
    return ModelConfig(precision="bf16" if precision == "bf16" else "float32", **plain)


def matmuls(precision: str) -> Any:
    """Returns a context in which float32 is multiplied as it says while functions are traced."""
    return jax.default_matmul_precision("highest" if precision == "float32" else None)


def short(error: BaseException) -> str:
    """Returns what an error says, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:400]
