"""The figures of `ostinato evaluate`: runs and baselines on every split of a dataset, on the same pieces.

Letters: p pieces.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from ostinato.evaluation import bootstrap
from ostinato.evaluation.baselines import LOOK_UP, make_baselines
from ostinato.evaluation.leaks import find_leak
from ostinato.evaluation.likelihood import measure_material, score_network, score_predictors
from ostinato.evaluation.paper_table import paper_table
from ostinato.evaluation.rules import RuleComposer
from ostinato.evaluation.scores import compare, score_as_json
from ostinato.music.ngram_files import NgramCounts
from ostinato.music.records import Dataset
from ostinato.train.checkpoint import LoadedRun, load_params

HELD_OUT = ("test", "validation")
"""The first of these that the dataset has is what the summary speaks of."""


def measure_run(
    workdir: Path,
    dataset: Dataset,
    *,
    counts: Callable[[], NgramCounts],
    others: Sequence[Path],
    checkpoint: Literal["best", "latest"],
    batch_size: int,
    max_train_pieces: int,
) -> dict[str, Any]:
    """Returns the content of report.json.

    Args:
        workdir: the run.
        dataset: what it is measured on.
        counts: returns those of the training split, for the baselines; asked once the runs are known to fit.
        others: runs that stand beside it.
        checkpoint: of all runs.
        batch_size: pieces measured at the same time.
        max_train_pieces: of the training split at most so many are measured, evenly spread; 0 is all. It is there to
            show what was learned by heart, and a large one would take longer than the training.

    Raises:
        ValueError: a model was trained with another codec than the dataset's, or there is no checkpoint.
    """
    runs = [load_params(path, checkpoint) for path in (workdir, *others)]
    for path, run in zip((workdir, *others), runs, strict=True):
        _check_codec(path, run, dataset)
    names = _names((workdir, *others), runs)
    baselines = make_baselines(counts(), dataset.codec)[::-1]
    field_names = tuple(field.name for field in dataset.codec.fields)
    composer = RuleComposer.of_split(dataset.source("train"))
    splits, comparisons, leaks, rules = {}, {}, {}, {}
    for split in dataset.splits:
        source = dataset.source(split)
        pieces = choose_pieces(len(source), max_train_pieces if split == "train" else 0)
        material = measure_material(source, pieces)
        scores = [
            *(
                score_network(run, source, pieces, batch_size=batch_size, name=name)
                for run, name in zip(runs, names, strict=True)
            ),
            *score_predictors(baselines, source, pieces),
        ]
        splits[split] = [score_as_json(score, material, field_names) for score in scores]
        comparisons[split] = [compare(scores[0], other, material) for other in scores[1:]]
        if split != "train":
            look_up = next(predictor for predictor in baselines if predictor.name == LOOK_UP)
            leaks[split] = find_leak(look_up, source, pieces)
            rules[split] = composer.coverage(dataset.codec.decode(source[number].steps) for number in pieces.tolist())
    return {
        "workdir": str(workdir),
        "dataset": {"path": str(dataset.path), "fingerprint": dataset.fingerprint},
        "step": runs[0].step,
        "params_sha256": runs[0].params_sha256,
        "runs": [
            {"name": name, "workdir": str(path), "step": run.step, "params_sha256": run.params_sha256}
            for name, path, run in zip(names, (workdir, *others), runs, strict=True)
        ],
        "held_out": next(split for split in (*HELD_OUT, "train") if split in splits),
        "bootstrap": {"resamples": bootstrap.NUM_RESAMPLES, "level": bootstrap.LEVEL, "seed": bootstrap.SEED},
        "splits": splits,
        "comparisons": comparisons,
        "leaks": leaks,
        "rules": rules,
        "warnings": [leak["warning"] for leak in leaks.values() if leak["warning"]],
        "paper_table": [{**row._asdict(), "improvement": row.improvement} for row in paper_table(workdir)],
    }


def choose_pieces(num_pieces: int, at_most: int) -> Int[np.ndarray, " p"]:
    """Returns the numbers of pieces, spread evenly if they are too many; 0 is all."""
    if not at_most or num_pieces <= at_most:
        return np.arange(num_pieces)
    return np.arange(at_most) * num_pieces // at_most


def _names(workdirs: Sequence[Path], runs: Sequence[LoadedRun]) -> list[str]:
    """Returns what the tables call the runs: a single one by its cell, several by their folders too."""
    if len(runs) == 1:
        return [runs[0].config.model.cell]
    return [f"{path.name} ({run.config.model.cell})" for path, run in zip(workdirs, runs, strict=True)]


def _check_codec(workdir: Path, run: LoadedRun, dataset: Dataset) -> None:
    if run.codec.to_json() != dataset.codec.to_json():
        raise ValueError(
            f"{workdir}: trained with another codec ({_codec_line(run.codec)}) than {dataset.path} has "
            f"({_codec_line(dataset.codec)}); give the dataset that the run was trained on"
        )


def _codec_line(codec: Any) -> str:
    return f"{codec.name} with " + ", ".join(f"{field.name} {field.size}" for field in codec.fields)
