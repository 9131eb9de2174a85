"""Which of the ways to compute a recurrent layer is taken. Results are the same up to rounding; the time is not.

A kernel is chosen by rule, or measured when a run starts (`train/kernel_choice.py`), which then keeps to it.
"""

from typing import Literal, NamedTuple

from ostinato.configs.schema import ModelConfig
from ostinato.model import cudnn
from ostinato.model.backend import platform
from ostinato.model.recurrent import CELLS, Layout, choose_layout

UNROLLS = (1, 2, 4, 8)


class Kernel(NamedTuple):
    """One way to compute a recurrent layer."""

    backend: Literal["scan", "cudnn"] = "scan"
    """scan: a loop of XLA's over the steps. cudnn: NVIDIA's own LSTM, which has no further options."""
    feature_major: bool = False
    """As in `Layout`."""
    unroll: int = 1
    """Steps in an iteration of the loop."""

    def layout(self, config: ModelConfig) -> Layout:
        return Layout(self.feature_major, self.unroll, config.precision)

    def __str__(self) -> str:
        if self.backend == "cudnn":
            return "cuDNN"
        return f"a scan, {self.unroll} steps in an iteration{', features first' if self.feature_major else ''}"


def kernel_by_rule(config: ModelConfig, length: int, batch_size: int) -> Kernel:
    """Returns what is taken where nothing was measured: cuDNN for float32 if it can, else the scan."""
    if config.precision == "float32" and cudnn.applies(config, length):
        return Kernel("cudnn")
    layout = choose_layout(batch_size, config.precision)
    return Kernel("scan", layout.feature_major, layout.unroll)


def possible_kernels(config: ModelConfig, length: int) -> list[Kernel]:
    """Returns all that can be taken here. Features come first on CPUs alone, which repack what they multiply."""
    if config.cell not in CELLS:
        return []
    orders = (False, True) if platform() == "cpu" else (False,)
    kernels = [Kernel("scan", order, unroll) for order in orders for unroll in UNROLLS if unroll <= length]
    return kernels + ([Kernel("cudnn")] if cudnn.applies(config, length) else [])
