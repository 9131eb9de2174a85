"""The figures of `ostinato evaluate`: runs and baselines on every split of a dataset, on the same pieces.

`MEASUREMENTS` lists what is measured; each function returns a part of report.json.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ostinato.configs.versions import package_version
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation import bootstrap
from ostinato.evaluation.baselines.rules import RuleComposer
from ostinato.evaluation.baselines.simple import LONGEST_MATCH, make_baselines
from ostinato.evaluation.checkpoints import measure_checkpoints
from ostinato.evaluation.held_out import HELD_OUT, choose_pieces, held_out_split
from ostinato.evaluation.judging import Judged, judge_writers
from ostinato.evaluation.likelihood import check_codec, score_network, score_predictors, split_stats
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.memorization.originality import compare_originality
from ostinato.evaluation.memorization.split_leakage import find_leakage
from ostinato.evaluation.paper_table import paper_table
from ostinato.evaluation.samples import (
    Music,
    SampleRequest,
    choose_lengths,
    read_held_out,
    write_all,
)
from ostinato.evaluation.scores import compare, score_as_json
from ostinato.evaluation.statistics import MIN_PIECES, compare_statistics
from ostinato.evaluation.transfer import measure_transfer
from ostinato.train.checkpoint import LoadedRun, load_params
from ostinato.train.judge.training import TrainedJudge
from ostinato.train.metrics import FILE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is measured, and how."""

    runs: tuple[Path, ...]
    """The run that the report is about, and others beside it."""
    checkpoint: Literal["best", "latest"] = "best"
    """Of all runs."""
    batch_size: int = 32
    """Pieces measured, or written, at the same time."""
    max_train_pieces: int = 200
    """Of the training split at most so many are measured, evenly spread; 0 is all. It is there to show what was learned
    by heart, and a large one would take longer than the training."""
    transpose_baselines: int = 0
    """Semitones by which the training pieces were moved for the baselines' counts, up and down; for the report only."""
    num_samples: int = 32
    """Pieces that each run and each composer writes; 0 leaves out statistics and originality."""
    seed: int = 0
    """Of the new pieces."""
    temperature: float = 1.0
    """Of the new pieces of the runs."""
    judge: bool = True
    """Teach a judge to tell the new pieces from real ones."""
    by_checkpoint: bool = False
    """Measure likelihood and originality of each checkpoint that the run still has."""
    old_dataset: Dataset | None = None
    """For a fine-tuned run: what it was trained on before; None for what its first run says."""
    command: str = ""
    """For the report."""


@dataclass(frozen=True)
class Evaluation:
    """What the measurements share."""

    config: EvaluationConfig
    dataset: Dataset
    runs: list[tuple[str, LoadedRun]]
    """With the names that the tables give them."""
    counts: Callable[[], NgramCounts]
    index: Callable[[], CopyIndex]

    @functools.cached_property
    def held_out(self) -> str:
        """The split that the summary speaks of."""
        return held_out_split(self.dataset) or "train"

    @functools.cached_property
    def music(self) -> Music:
        """New and held-out pieces."""
        if not self.config.num_samples:
            return Music()
        if self.held_out not in HELD_OUT:
            return Music(
                notices=["the dataset has no held-out split, so no pieces were generated to be compared with it"]
            )
        held_out = read_held_out(self.dataset, self.held_out)
        if not held_out.pieces:
            return Music(
                notices=[f"the {held_out.split} split holds no notes, so no pieces were generated to be compared"]
            )
        config, lengths = self.config, [piece.num_notes for piece in held_out.pieces]
        num_notes = choose_lengths(lengths, config.num_samples, config.seed)
        request = SampleRequest(num_notes, config.seed, config.temperature, config.batch_size)
        written = write_all(self.runs, self.dataset, request, counts=self.counts)
        notices = [
            f"{name}: only {len(pieces)} of {len(num_notes)} pieces have a note"
            for name, pieces in written
            if len(pieces) < len(num_notes)
        ]
        return Music(held_out, [(name, pieces) for name, pieces in written if pieces], request, notices)

    @functools.cached_property
    def judged(self) -> Judged:
        """Whether a judge can tell the new pieces from real ones."""
        if not self.config.judge:
            return Judged(None, None)
        return judge_writers(self.dataset, self.music, self.runs, counts=self.counts)


class Measured(NamedTuple):
    """What was found."""

    report: dict[str, Any]
    """The content of report.json."""
    music: Music
    """Of which it speaks."""
    judge: TrainedJudge | None
    """That of the first run, where there is one."""


def measure_run(
    config: EvaluationConfig,
    dataset: Dataset,
    *,
    counts: Callable[[], NgramCounts],
    index: Callable[[], CopyIndex],
) -> Measured:
    """Returns the content of report.json, the music that it speaks of, and the judge.

    `counts` and `index` return what the baselines know of the training split, and that in which copies are looked for;
    they are asked once the runs are known to fit.

    Raises:
        ValueError: a model was trained with another codec than the dataset's, or there is no checkpoint.
    """
    runs = [load_params(path, config.checkpoint) for path in config.runs]
    for path, run in zip(config.runs, runs, strict=True):
        check_codec(path, run, dataset, advice="give the dataset that the run was trained on")
    named = list(zip(_names(config.runs, runs), runs, strict=True))
    evaluation = Evaluation(config, dataset, named, counts, functools.cache(index))
    report = {}
    for measure in MEASUREMENTS:
        report |= measure(evaluation)
    return Measured(report, evaluation.music, evaluation.judged.judge)


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Returns what is measured, and with what."""
    config, dataset, runs = evaluation.config, evaluation.dataset, evaluation.runs
    options = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    del options["runs"], options["command"]
    options["old_dataset"] = None if config.old_dataset is None else str(config.old_dataset)
    _, first = runs[0]
    return {
        "command": config.command,
        "version": package_version("ostinato"),
        "libraries": {name: package_version(name) for name in ("jax", "flax", "numpy")},
        "options": options,
        "workdir": str(config.runs[0]),
        "dataset": {"path": str(dataset), "fingerprint": dataset.fingerprint},
        "step": first.step,
        "params_sha256": first.params_sha256,
        "runs": [
            {"name": name, "workdir": str(path), "step": run.step, "params_sha256": run.params_sha256}
            for path, (name, run) in zip(config.runs, runs, strict=True)
        ],
        "held_out": evaluation.held_out,
        "bootstrap": {"resamples": bootstrap.NUM_RESAMPLES, "level": bootstrap.LEVEL, "seed": bootstrap.SEED},
    }


def likelihood(evaluation: Evaluation) -> dict[str, Any]:
    """Returns how likely every split is to the runs and the baselines, and whether something speaks against it."""
    config, dataset = evaluation.config, evaluation.dataset
    baselines = make_baselines(evaluation.counts(), dataset.codec)[::-1]
    longest_match = next(predictor for predictor in baselines if predictor.name == LONGEST_MATCH)
    composer = RuleComposer.of_split(dataset.source("train"))
    field_names = tuple(field.name for field in dataset.codec.fields)
    splits, comparisons, leaks, rules = {}, {}, {}, {}
    for split in dataset.splits:
        source = dataset.source(split)
        pieces = choose_pieces(len(source), config.max_train_pieces if split == "train" else 0)
        logger.info("likelihood of %d pieces (%s split), by the run and the baselines", len(pieces), split)
        stats = split_stats(source, pieces)
        scores = [
            score_network(run, source, pieces, batch_size=config.batch_size, name=name) for name, run in evaluation.runs
        ]
        scores += score_predictors(baselines, source, pieces)
        splits[split] = [score_as_json(score, stats, field_names) for score in scores]
        comparisons[split] = [compare(scores[0], other, stats) for other in scores[1:]]
        if split != "train":
            leaks[split] = find_leakage(longest_match, source, pieces, stats)
            rules[split] = composer.coverage(dataset.codec.decode(source[number].steps) for number in pieces.tolist())
    return {
        "splits": splits,
        "comparisons": comparisons,
        "leaks": leaks,
        "rules": rules,
        "warnings": [leak["warning"] for leak in leaks.values() if leak["warning"]],
    }


def training(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the paper's table, with nothing in it for an imported run, which has not written down how it went."""
    workdir = evaluation.config.runs[0]
    rows = paper_table(workdir) if (workdir / FILE).is_file() else []
    return {"paper_table": [{**row._asdict(), "improvement": row.improvement} for row in rows]}


def transfer(evaluation: Evaluation) -> dict[str, Any]:
    """Returns what fine-tuning changed."""
    config = evaluation.config
    found = measure_transfer(
        config.runs[0],
        evaluation.dataset,
        old_dataset=config.old_dataset,
        checkpoint=config.checkpoint,
        batch_size=config.batch_size,
    )
    return {"transfer": found}


def samples(evaluation: Evaluation) -> dict[str, Any]:
    """Returns how the new pieces were made, and what is missing of them and of what can be said of them."""
    config, music = evaluation.config, evaluation.music
    if music.request is None:
        return {"samples": None, "notices": list(music.notices)}
    real, num_notes = len(music.held_out.pieces), music.request.num_notes
    command = (
        f"ostinato sample --workdir {config.runs[0]} --output FOLDER --num-pieces {len(num_notes)} "
        f"--num-notes {max(num_notes)} --seed {config.seed} --temperature {config.temperature:g}"
    )
    if config.checkpoint == "latest":
        command += " --checkpoint latest"
    too_few = (
        f"{real} held-out {'piece is' if real == 1 else 'pieces are'} too few for musical statistics, "
        f"which need {MIN_PIECES}"
    )
    made = {"split": music.held_out.split, "held_out": real, "num_notes": num_notes, "sample_command": command}
    return {"samples": made, "notices": [*music.notices, *([too_few] if real < MIN_PIECES and music.written else [])]}


def statistics(evaluation: Evaluation) -> dict[str, Any]:
    """Returns how the new pieces compare with real ones."""
    music, seed = evaluation.music, evaluation.config.seed
    real = music.held_out.pieces
    return {
        "statistics": [
            {"name": name, **compare_statistics(pieces, real, seed=seed)}
            for name, pieces in music.written
            if min(len(real), len(pieces)) >= MIN_PIECES
        ]
    }


def two_sample(evaluation: Evaluation) -> dict[str, Any]:
    """Returns whether a judge can tell the new pieces from real ones; nothing without new pieces."""
    return {"two_sample": evaluation.judged.figures}


def originality(evaluation: Evaluation) -> dict[str, Any]:
    """Returns what the new pieces share with the training split, and how that went along the run."""
    config, music = evaluation.config, evaluation.music
    found: dict[str, Any] = {"originality": [], "checkpoints": []}
    for name, pieces in music.written:
        compared = compare_originality(evaluation.index(), pieces, music.held_out.pieces)
        found["originality"].append({"name": name, **compared})
    if config.by_checkpoint and music.written and music.request is not None:
        dataset, index = evaluation.dataset, evaluation.index()
        found["checkpoints"] = measure_checkpoints(config.runs[0], dataset, music.held_out, music.request, index)
    return found


MEASUREMENTS = (describe, likelihood, training, transfer, samples, statistics, two_sample, originality)


def _names(workdirs: Sequence[Path], runs: Sequence[LoadedRun]) -> list[str]:
    """Returns what the tables call the runs: a single one by its cell, several by their folders too."""
    if len(runs) == 1:
        return [runs[0].config.model.cell]
    folders = [path.name for path in workdirs]
    if len(set(folders)) < len(folders):
        folders = [str(path) for path in workdirs]
    return [f"{folder} ({run.config.model.cell})" for folder, run in zip(folders, runs, strict=True)]
