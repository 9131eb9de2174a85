"""Whether training waits: for its data, by the loader alone and in a real run; and for its first step."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from statistics import median

from ostinato.benchmarks.processes import run
from ostinato.benchmarks.turns import Variant, measure, ratio
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.launch.commands.show import print_table, say


def measure_loader(
    dataset: Path, data: DataConfig, step: Variant, *, num_rounds: int, round_s: float
) -> dict[str, float]:
    """Returns how many batches are made in the CPU time of a training step that uses one.

    Args:
        dataset: a prepared one.
        data: the batches.
        step: the training step that uses them.
        num_rounds: of the loader and the step, in turns.
        round_s: seconds of each.
    """
    augmented = dataclasses.replace(data, max_transpose=5, max_tempo_change=10, max_velocity_change=10)
    variants = {"step": step}
    for label, one in (("loader", data), ("loader, pieces changed anew", augmented)):
        variants[label] = Variant("step_input.py", {"dataset": str(dataset), "data": dataclasses.asdict(one)})
    turns = measure(variants, num_rounds=num_rounds, round_s=round_s)
    times = {label: round(ratio(turns["step"].cpu_s, one.cpu_s), 1) for label, one in turns.items()}
    rows = [(label, f"{1 / median(one.cpu_s):,.1f}", f"{times[label]:,.0f} x") for label, one in turns.items()]
    print_table("The loader alone, CPU time", ("", "batches/s", "times the step"), rows)
    return {label: times[label] for label in list(turns)[1:]}


def measure_waits(dataset: Path, work: Path, base: TrainConfig, *, num_steps: int) -> dict[str, float]:
    """Returns which share of its time a run of one small layer waits for batches."""
    model = ModelConfig(hidden_size=128, num_layers=1)
    config = dataclasses.replace(base, model=model, num_steps=num_steps + 1, evaluate_every=10**9)
    found = _probe(dataset, work / "waits", config)
    share = found["wait_s"] / found["loop_s"]
    say(
        f"A run of {num_steps} steps of 1 x 128: {found['loop_s']:.2f} s, of them {found['wait_s'] * 1e3:.1f} ms "
        f"({share:.2%}) waiting for a batch"
    )
    return {"share of the time that a run waits": round(share, 5)}


def measure_start(dataset: Path, work: Path, config: TrainConfig, *, num_rounds: int) -> None:
    """Prints how long the first step of a run takes, from the call of `train`: all that is before it is in it.

    That is the first measurement on the validation split, too, which has to be compiled as well.
    """
    costs: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
    for number in range(num_rounds):
        for kind, found in costs.items():
            workdir = work / f"{kind}-{number}"
            found.append(_probe(dataset, workdir, dataclasses.replace(config, num_steps=1), work / f"cache-{number}"))
    rows = [
        (kind, *(f"{median(one[name] for one in found):.1f} s" for name in ("validation_s", "step_s", "step_cpu_s")))
        for kind, found in costs.items()
    ]
    print_table(
        f"The first step of {config.model.num_layers} x {config.model.hidden_size} after the import",
        ("", "validation measured after", "first step done after", "CPU time"),
        rows,
    )


def _probe(dataset: Path, workdir: Path, config: TrainConfig, cache: Path | None = None) -> dict[str, float]:
    """Returns what `benchmarks.probe` found."""
    text = json.dumps(dataclasses.asdict(config))
    command = [sys.executable, "-m", "ostinato.benchmarks.probe", str(dataset), str(workdir), text]
    environment = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    return json.loads(run(command, environment).output.splitlines()[-1])
