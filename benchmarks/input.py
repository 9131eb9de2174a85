"""Whether training waits: for its data, by the loader alone and a trace of a real run; and for its first step."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ostinato.benchmarks.prepared import console, make_table
from ostinato.benchmarks.turns import Variant, measure, ratio
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig

MIN_LOADER_TIMES = 10
MAX_WAIT_SHARE = 0.01
MAX_COLD_S, MAX_CACHED_S = 20, 5


def measure_loader(
    dataset: Path,
    steps: Mapping[str, tuple[DataConfig, Variant]],
    work: Path,
    *,
    traced_steps: int,
    num_rounds: int,
    round_s: float,
) -> dict[str, Any]:
    """Returns how much faster batches are made than used, and how long a traced run of one layer waits for them.

    Args:
        dataset: a prepared one.
        steps: by shape, the batches, and the training step that uses them.
        work: the run and its trace go there.
        traced_steps: of the run.
        num_rounds: of the loader and the step, in turns.
        round_s: seconds of each.
    """
    variants, changed = {}, {"max_transpose": 5, "max_tempo_change": 10, "max_velocity_change": 10}
    for shape, (data, step) in steps.items():
        request = {"dataset": str(dataset), "data": dataclasses.asdict(data)}
        augmented = {**request, "data": {**request["data"], **changed}}
        variants |= {
            f"{shape}: step": step,
            f"{shape}: loader": Variant("step_input.py", request),
            f"{shape}: loader, pieces changed anew": Variant("step_input.py", augmented),
        }
    turns = measure(variants, num_rounds=num_rounds, round_s=round_s)
    table = make_table("The loader alone, CPU time", ("", "batches/s", "times the step", "must be"))
    times = {}
    for label, one in turns.items():
        shape, _, kind = label.partition(": ")
        if kind == "step":
            table.add_row(label, f"{1 / one.median_cpu_s:.1f}")
            continue
        times[label] = round(ratio(turns[f"{shape}: step"].cpu_s, one.cpu_s), 1)
        table.add_row(label, f"{1 / one.median_cpu_s:,.0f}", f"{times[label]:,.0f} x", f"{MIN_LOADER_TIMES} x")
    console.print(table)

    chorales = PRESETS["chorales"]().train
    config = dataclasses.replace(
        chorales,
        model=ModelConfig(hidden_size=128, num_layers=1),
        num_steps=traced_steps + 1,
        evaluate_every=10**9,
    )
    traced = _probe("waits", dataset, work / "traced", config, os.environ)
    share = traced["wait_s"] / traced["loop_s"]
    console.print(
        f"A traced run of {traced['steps']:.0f} steps of 1 x 128, batch 16, t = 64: {traced['loop_s']:.2f} s, of them "
        f"{traced['wait_s'] * 1e3:.1f} ms ({share:.2%}) waiting for a batch, {traced['longest_wait_s'] * 1e3:.1f} ms "
        f"at most; must be below {MAX_WAIT_SHARE:.0%}"
    )
    return {"ratios": {**times, "share of the time that a run waits": round(share, 5)}, "traced": traced}


def measure_start(dataset: Path, work: Path, config: TrainConfig, *, num_rounds: int) -> dict[str, Any]:
    """Returns how long the first step of a run takes, from the call of `train`: all that is before it is in it.

    That is the first measurement on the validation split, too, which has to be compiled as well.
    """
    config = dataclasses.replace(config, num_steps=1)
    costs: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
    for number in range(num_rounds):
        environment = {**os.environ, "XDG_CACHE_HOME": str(work / f"cache-{number}")}
        for kind, found in costs.items():
            found.append(_probe("start", dataset, work / f"{kind}-{number}", config, environment))
    table = make_table(
        f"The first step of {config.model.num_layers} x {config.model.hidden_size} after the import",
        ("", "validation measured after", "first step done after", "CPU time", "must be below"),
    )
    limits = {"cold": MAX_COLD_S, "cached": MAX_CACHED_S}
    medians = {kind: {name: median(one[name] for one in found) for name in found[0]} for kind, found in costs.items()}
    for kind, found in medians.items():
        times = (found["validation_s"], found["step_s"], found["step_cpu_s"])
        table.add_row(kind, *(f"{one:.1f} s" for one in times), f"{limits[kind]} s")
    console.print(table)
    ratios = {f"first step, {kind}, over what is allowed": medians[kind]["step_s"] / limits[kind] for kind in medians}
    return {"ratios": {name: round(value, 3) for name, value in ratios.items()}, **medians}


def _probe(
    look: str, dataset: Path, workdir: Path, config: TrainConfig, environment: Mapping[str, str]
) -> dict[str, float]:
    """Returns what `benchmarks.probe` found."""
    command = [sys.executable, "-m", "ostinato.benchmarks.probe", look, str(dataset), str(workdir)]
    command.append(json.dumps(dataclasses.asdict(config)))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"probe {look}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
