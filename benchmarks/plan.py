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

TARGET = "cpu:1"


def _cases() -> dict[str, TrainConfig]:
    def case(num_layers: int, hidden_size: int, batch_size: int, sequence_length: int) -> TrainConfig:
        model = dataclasses.replace(chorales.model, hidden_size=hidden_size, num_layers=num_layers)
        data = DataConfig(batch_size=batch_size, sequence_length=sequence_length)
        return dataclasses.replace(chorales, model=model, data=data)

    chorales = PRESETS["chorales"]().train
    return {
        "chorales (2 x 256, b 16, t 64)": chorales,
        "1 x 128, b 64, t 64": case(1, 128, 64, 64),
        "2 x 512, b 32, t 128": case(2, 512, 32, 128),
        "2 x 512, b 64, t 32": case(2, 512, 64, 32),
        "3 x 1024, b 16, t 32": case(3, 1024, 16, 32),
    }


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    found = defaultdict(list)
    for _ in range(rounds):
        for name, config in _cases().items():
            (report,) = plan(config, [TARGET], search=False)["targets"]
            found[name].append((report["step_s"], report["measured_s"], report["predicted_over_measured"]))
    rows, medians = [], {}
    for name, values in found.items():
        predicted_s, measured_s, ratios = zip(*values, strict=True)
        medians[name] = statistics.median(ratios)
        milliseconds = [f"{statistics.median(seconds) * 1e3:.1f}" for seconds in (predicted_s, measured_s)]
        rows.append([name, *milliseconds, f"{medians[name]:.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"])
    heading = ["", "predicted ms", "measured ms", "predicted / measured", "all rounds"]
    print_table(f"A training step on one core, CPU time, medians of {rounds}", heading, rows)
    print(json.dumps({"ratios": {name: round(ratio, 3) for name, ratio in medians.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
