"""Runs the benchmark: every data set, column and seed that is asked for, one after the other.

Each model takes minutes to hours on a CPU. After each one the folder's rolls.json and rolls.md hold all that is done,
and the same command goes on from there.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from ostinato.benchmarks.rolls.fit import fit
from ostinato.benchmarks.rolls.read import Rolls, read_rolls
from ostinato.benchmarks.rolls.recipes import Column, Recipe
from ostinato.benchmarks.rolls.score import fit_independent_keys, score_frames, uniform
from ostinato.benchmarks.rolls.table import Result, markdown
from ostinato.data.atomic import make_folder, write_atomically
from ostinato.model.network import count_params

_log = logging.getLogger(__name__)


def bench_rolls(
    data: Path,
    output: Path,
    recipes: dict[tuple[str, Column], Recipe],
    seeds: Sequence[int],
    *,
    command: str,
) -> list[Result]:
    """Returns what the models scored, those of earlier runs into the same folder with the same recipe among them.

    Raises:
        ValueError: a file of the data is missing or is not what it should be.
    """
    sets = {name: read_rolls(data, name) for name in dict.fromkeys(name for name, _ in recipes)}
    baselines = {
        "uniform": {name: score_frames(uniform, rolls.test).nats_per_frame for name, rolls in sets.items()},
        "each key by itself, no memory": {
            name: score_frames(fit_independent_keys(rolls.train), rolls.test).nats_per_frame
            for name, rolls in sets.items()
        },
    }
    make_folder(output)
    path = output / "rolls.json"
    known = [Result(**entry) for entry in json.loads(path.read_text())["results"]] if path.exists() else []
    done = {_key(result): result for result in known}
    wanted: list[tuple[str, Column, int, str]] = [
        (name, column, seed, repr(recipe)) for seed in seeds for (name, column), recipe in recipes.items()
    ]
    for key in wanted:
        name, column, seed, _ = key
        if key not in done:
            _log.info("%s, column %s, seed %d", name, column, seed)
            done[key] = _fit(sets[name], name, recipes[name, column], seed)
        content = {"command": command, "baselines": baselines, "results": [r._asdict() for r in done.values()]}
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
        shown = [done[key] for key in wanted if key in done]
        write_atomically(output / "rolls.md", markdown(shown, baselines, command).encode())
    return [done[key] for key in wanted]


def _key(result: Result) -> tuple[str, Column, int, str]:
    return result.dataset, result.column, result.seed, result.recipe


def _fit(rolls: Rolls, name: str, recipe: Recipe, seed: int) -> Result:
    fitted = fit(rolls, recipe, seed)
    return Result(
        dataset=name,
        column=recipe.column,
        seed=seed,
        recipe=repr(recipe),
        epoch=fitted.epoch,
        valid_nats=fitted.valid.nats_per_frame,
        test_nats=fitted.test.nats_per_frame,
        valid_frames=fitted.valid.frames,
        test_frames=fitted.test.frames,
        num_parameters=count_params(fitted.params),
        seconds=fitted.seconds,
    )
