"""New pieces by the baselines: ostinato sample --model markov:3 --dataset DATASET --output FOLDER; or --model rules."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.configs.versions import package_version
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation.baselines.rules import RuleComposer
from ostinato.evaluation.baselines.simple import MARKOV, make_baseline
from ostinato.sample.generate import Generated
from ostinato.sample.output.provenance import LAYOUT
from ostinato.train.fingerprint import json_sha256

RULES = "rules"
MODELS = (*MARKOV, RULES)

_OPTIONS = ("num_pieces", "num_notes", "seed", "batch_size")


def compose(
    model: str, dataset: Dataset, config: SampleConfig, *, counts: Callable[[], NgramCounts]
) -> list[Generated]:
    """Returns new pieces, legal under the grammar of the dataset's codec. Piece i does not depend on their number.

    Args:
        model: one of MODELS.
        dataset: whose training split the model knows.
        config: how many pieces, how long, and the seed.
        counts: returns those of the training split; asked for Markov chains only.

    Raises:
        UserError: there is no such model, or another option is given, which it would ignore.
    """
    if model not in MODELS:
        raise UserError(f"--model {model!r} is not one of {', '.join(MODELS)}")
    others = dataclasses.replace(SampleConfig(), **{name: getattr(config, name) for name in _OPTIONS})
    wrong = [f"--{name.replace('_', '-')}" for name, value in vars(config).items() if value != getattr(others, name)]
    if wrong:
        known = ", ".join(f"--{name.replace('_', '-')}" for name in _OPTIONS[:-1])
        raise UserError(f"--model {model} takes {known}, not {', '.join(wrong)}")
    seeds = [[config.seed, number] for number in range(config.num_pieces)]
    if model == RULES:
        composer = RuleComposer.of_split(dataset.source("train"))
        written = [composer.generate(seed, config.num_notes) for seed in seeds]
    else:
        written = make_baseline(model, counts(), dataset.codec).generate_all(seeds, config.num_notes)
    return [Generated(rows, 1, not config.num_notes, np.zeros(len(rows), np.float32), 0) for rows in written]


def describe_composer(model: str, dataset: Dataset, config: SampleConfig, *, piece: int) -> dict[str, Any]:
    """Returns what the MIDI file of a piece says about itself. `ostinato sample --again` does not take such files.

    What a baseline has learnt follows from its name and its dataset: their digest stands for its parameters.
    """
    return {
        "generator": f"ostinato {model}",
        "layout": LAYOUT,
        "version": package_version("ostinato"),
        "params_sha256": json_sha256({"model": model, "dataset": dataset.fingerprint}),
        "step": 0,
        "seed": config.seed,
        "piece": piece,
        "options": {"model": model, "num_pieces": config.num_pieces, "num_notes": config.num_notes},
        "inputs": {"dataset": {"name": dataset.path.name, "sha256": dataset.fingerprint}},
    }
