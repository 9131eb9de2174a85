"""`python -m ostinato.benchmarks.plan_cells`: the LSTM and the mLSTM on machines that are not here.

The network of the preset lakh with either cell, by the counts of `ostinato plan`: the step of one device is traced,
which needs no compiler, and takes some minutes of CPU. Writes the tables of benchmarks/results/plan_cells.json.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

import jax
import tyro

from ostinato.benchmarks.tables import RESULTS
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import ModelConfig, Precision
from ostinato.data.atomic import write_atomically
from ostinato.launch.plan.costs import Program, read_jaxpr
from ostinato.launch.plan.machines import MACHINES
from ostinato.launch.plan.roofline import step_times
from ostinato.launch.plan.step import trace_step
from ostinato.model.backend import planned_for
from ostinato.model.network import count_params
from ostinato.music.score_codec import ScoreCodec

Columns = Mapping[str, Sequence[Sequence[str]]]
"""A table as benchmarks/results keeps it: columns and rows."""
Cell = Literal["LSTM", "mLSTM"]
CELLS: tuple[Cell, ...] = ("LSTM", "mLSTM")
TARGETS = ("h100", "a100", "v5e")
BATCH = 512
"""Of the preset, which the devices of the second table share."""
DEVICES = (1, 8, 16, 64, 256)


def network(cell: Cell, precision: Precision = "float32", recompute: Literal["auto", "never"] = "auto") -> ModelConfig:
    """Returns the network of lakh, or that with matrix memories and a hundredth fewer parameters."""
    config = dataclasses.replace(PRESETS["lakh"]().train.model, precision=precision, recompute=recompute)
    return config if cell == "LSTM" else dataclasses.replace(config, cell="mlstm", hidden_size=2336, num_heads=16)


@cache
def traced(platform: str, model: ModelConfig, num_rows: int) -> tuple[Program, int]:
    """Returns what a step of one device does, and the bytes of the gradient."""
    train = PRESETS["lakh"]().train
    config = dataclasses.replace(train, model=model, data=dataclasses.replace(train.data, batch_size=num_rows))
    sizes = tuple(field.size for field in ScoreCodec().fields)
    with planned_for(platform):
        step = trace_step(config, sizes, jax.devices()[:1], num_rows)
        return read_jaxpr(step.step.trace(step.state, step.batch).jaxpr), 4 * count_params(step.state.params)  # pyright: ignore[reportFunctionMemberAccess]


def step_s(target: str, model: ModelConfig, num_rows: int) -> float:
    """Returns the seconds of a step of one device with so many rows, without the all-reduce."""
    program, _ = traced(MACHINES[target].platform, model, num_rows)
    return step_times(program, MACHINES[target].speeds).total


def all_reduce_s(target: str, model: ModelConfig, num_devices: int) -> float:
    """Returns the seconds that sending the gradient takes where nothing is computed meanwhile."""
    links = MACHINES[target].interconnect
    assert links is not None
    return links.all_reduce_s(traced(MACHINES[target].platform, model, BATCH)[1], num_devices)


def speeds() -> Columns:
    """Returns the table of step times at many and at few rows."""
    rows = []
    for target in TARGETS:
        for num_rows in (64, 8):
            lstm, mlstm, kept = (
                step_s(target, model, num_rows)
                for model in (network("LSTM"), network("mLSTM"), network("mLSTM", recompute="never"))
            )
            row = [_ms(lstm), _ms(mlstm), _times(lstm / mlstm), _ms(kept), _times(lstm / kept)]
            lstm, mlstm = (step_s(target, network(cell, "bf16"), num_rows) for cell in CELLS)
            rows.append([target, str(num_rows), *row, _ms(lstm), _ms(mlstm), _times(lstm / mlstm)])
    heading = [
        "",
        "rows a device",
        "LSTM",
        "mLSTM",
        "times the notes/s",
        "kept",
        "times",
        "bf16: LSTM",
        "mLSTM",
        "times",
    ]
    return {"columns": heading, "rows": rows}


def devices() -> Columns:
    """Returns the table of the batch shared out, and what its last column is made of."""
    rows = []
    for target in TARGETS:
        for cell in CELLS:
            model = network(cell)
            alone_s = step_s(target, model, BATCH)
            compute_s = {count: step_s(target, model, BATCH // count) for count in DEVICES[1:]}
            reduce_s = {count: all_reduce_s(target, model, count) for count in DEVICES[1:]}
            shares = [alone_s / (count * (compute_s[count] + reduce_s[count])) for count in DEVICES[1:]]
            last = DEVICES[-1]
            rows.append(
                [target, cell, *(f"{share:.0%}".replace("%", " %") for share in shares),
                 _ms(alone_s / last), _ms(compute_s[last]), _ms(reduce_s[last])]
            )  # fmt: skip
    ideal = f"ms on {DEVICES[-1]}: ideal"
    heading = ["", "", *map(str, DEVICES[1:]), ideal, f"step of {BATCH // DEVICES[-1]} rows", "all-reduce"]
    return {"columns": heading, "rows": rows}


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2g}" if seconds < 0.01 else f"{1e3 * seconds:.0f}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}"


def main() -> None:
    """Writes the tables."""
    command = "python -m ostinato.benchmarks.plan_cells"
    found = {"speeds": speeds(), "devices": devices()}
    tables = {name: {"command": command, **table} for name, table in found.items()}
    text = json.dumps({"origin": f"jax {jax.__version__}", "tables": tables}, indent=1, ensure_ascii=False)
    write_atomically(RESULTS / "plan_cells.json", text.encode() + b"\n")
    print(text)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
