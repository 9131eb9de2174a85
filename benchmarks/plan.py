"""`python -m ostinato.benchmarks.plan`: predicted against measured training steps, on one core of this machine.

Each case calibrates and measures in turn, round after round, so that a change of the machine's speed meets both. A
minute a case and round; the last line is JSON with the median of predicted over measured for each case.
"""

import dataclasses
import json
from collections import defaultdict
from statistics import median

import tyro

from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import DataConfig
from ostinato.launch.commands.show import print_table
from ostinato.launch.plan.command import plan

SIZES = ((2, 256, 16, 64), (1, 128, 64, 64), (2, 512, 32, 128), (2, 512, 64, 32), (3, 1024, 16, 32))
"""Layers, units, rows of a batch and steps of a row; the first is the preset chorales."""


def main(rounds: int = 3) -> None:
    """Prints the table."""
    base, found = PRESETS["chorales"]().train, defaultdict(list)
    for _ in range(rounds):
        for layers, units, num_rows, length in SIZES:
            model = dataclasses.replace(base.model, hidden_size=units, num_layers=layers)
            config = dataclasses.replace(
                base, model=model, data=DataConfig(batch_size=num_rows, sequence_length=length)
            )
            (report,) = plan(config, ["cpu:1"], search=False)["targets"]
            found[f"{layers} x {units}, b {num_rows}, t {length}"].append((report["step_s"], report["measured_s"]))
    rows, medians = [], {}
    for name, values in found.items():
        ratios = [predicted_s / measured_s for predicted_s, measured_s in values]
        medians[name] = round(median(ratios), 3)
        milliseconds = [f"{median(seconds) * 1e3:.1f}" for seconds in zip(*values, strict=True)]
        rows.append([name, *milliseconds, f"{median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"])
    heading = ["", "predicted ms", "measured ms", "predicted / measured", "all rounds"]
    print_table(f"A training step on one core, CPU time, medians of {rounds}", heading, rows)
    print(json.dumps({"ratios": medians}))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
