"""`python -m ostinato.benchmarks.plan`: predicted against measured training steps, on one core of this machine.

Each case calibrates and measures in turn, round after round, so that a change of the machine's speed meets both. A
minute a case and round; the last line is JSON with the median of predicted over measured for each case.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from collections import defaultdict

from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import DataConfig, TrainConfig
from ostinato.launch.commands.show import print_table
from ostinato.launch.plan.command import plan

SIZES = ((2, 256, 16, 64), (1, 128, 64, 64), (2, 512, 32, 128), (2, 512, 64, 32), (3, 1024, 16, 32))
"""Layers, units, rows of a batch and steps of a row; the first is the preset chorales."""


def _config(num_layers: int, hidden_size: int, batch_size: int, sequence_length: int) -> TrainConfig:
    base = PRESETS["chorales"]().train
    model = dataclasses.replace(base.model, hidden_size=hidden_size, num_layers=num_layers)
    return dataclasses.replace(
        base, model=model, data=DataConfig(batch_size=batch_size, sequence_length=sequence_length)
    )


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    found = defaultdict(list)
    for _ in range(rounds):
        for sizes in SIZES:
            (report,) = plan(_config(*sizes), ["cpu:1"], search=False)["targets"]
            found["{} x {}, b {}, t {}".format(*sizes)].append([report["step_s"], report["measured_s"]])
    rows, medians = [], {}
    for name, values in found.items():
        ratios = [predicted_s / measured_s for predicted_s, measured_s in values]
        medians[name] = statistics.median(ratios)
        milliseconds = [f"{statistics.median(seconds) * 1e3:.1f}" for seconds in zip(*values, strict=True)]
        rows.append([name, *milliseconds, f"{medians[name]:.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"])
    heading = ["", "predicted ms", "measured ms", "predicted / measured", "all rounds"]
    print_table(f"A training step on one core, CPU time, medians of {rounds}", heading, rows)
    print(json.dumps({"ratios": {name: round(ratio, 3) for name, ratio in medians.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
