"""Rows per second of the sampler, at one piece, some and many, beside an eager loop in torch."""

from statistics import median
from typing import Any

from ostinato.benchmarks.gpu.context import FIELD_SIZES, Context
from ostinato.benchmarks.processes import find_python
from ostinato.benchmarks.turns import Variant, measure
from ostinato.model.backend import platform

OURS, TORCH = "ostinato sample", "torch.nn.LSTMCell, eager loop"


def run(context: Context) -> None:
    """Writes a line for each number of pieces and library."""
    python, reason = find_python("torch")
    if not python:
        context.write("note", text=f"torch is left out: {reason}")
    hidden, sizes, rounds, round_s = (16, (1, 2), 1, 0.05) if context.smoke else (512, (1, 64, 1024), 3, 0.7)
    network: dict[str, Any] = {
        "hidden_size": hidden, "num_layers": 2, "embedding_size": 128, "head_size": 128, "field_sizes": FIELD_SIZES,
        "device": "cuda" if platform() == "gpu" else "cpu",
    }  # fmt: skip
    variants = {}
    for size in sizes:
        request = {**network, "batch_size": size}
        variants[size, OURS] = Variant("sample_ours.py", request, threads=2)
        if python and not context.smoke:
            variants[size, TORCH] = Variant("sample_torch.py", request, python, threads=2)
    labelled = {f"{size} {name}": variant for (size, name), variant in variants.items()}
    turns = measure(labelled, num_rounds=rounds, round_s=round_s, warm_together=True)
    for (size, name), one in zip(variants, turns.values(), strict=True):
        # What a unit returns is its rows.
        seconds = median(wall_s / rows for wall_s, rows in zip(one.wall_s, one.losses, strict=True))
        context.write("sampling", pieces=size, label=name, rows_per_s=1 / seconds)
