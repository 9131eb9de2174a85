"""The figures of `ostinato evaluate`: runs and baselines on every split of a dataset, on the same pieces.

Letters: p pieces.
"""

import dataclasses
import importlib.metadata
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation import bootstrap
from ostinato.evaluation.baselines.rules import RuleComposer
from ostinato.evaluation.baselines.simple import LOOK_UP, make_baselines
from ostinato.evaluation.checkpoints import measure_checkpoints
from ostinato.evaluation.held_out import HELD_OUT, choose_pieces, held_out_split
from ostinato.evaluation.likelihood import check_codec, measure_material, score_network, score_predictors
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.memorization.originality import compare_originality
from ostinato.evaluation.memorization.split_leakage import find_leak
from ostinato.evaluation.paper_table import paper_table
from ostinato.evaluation.samples import (
    NO_MUSIC,
    Asked,
    Music,
    choose_lengths,
    read_held_out,
    write_by_composers,
    write_by_run,
)
from ostinato.evaluation.scores import compare, score_as_json
from ostinato.evaluation.statistics import MIN_PIECES, compare_statistics
from ostinato.evaluation.transfer import measure_transfer
from ostinato.train.checkpoint import LoadedRun, load_params
from ostinato.train.metrics import FILE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
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
    by_checkpoint: bool = False
    """Measure likelihood and originality of each checkpoint that the run still has."""
    old_dataset: Dataset | None = None
    """For a fine-tuned run: what it was trained on before; None for what its first run says."""
    command: str = ""
    """For the report."""


def measure_run(
    wanted: Wanted, dataset: Dataset, *, counts: Callable[[], NgramCounts], index: Callable[[], CopyIndex]
) -> tuple[dict[str, Any], Music]:
    """Returns the content of report.json, and the music that it speaks of.

    Args:
        wanted: what is measured.
        dataset: on what.
        counts: returns those of the training split, for the baselines; asked once the runs are known to fit.
        index: returns that of the training split, in which copies are looked for.

    Raises:
        ValueError: a model was trained with another codec than the dataset's, or there is no checkpoint.
    """
    runs = [load_params(path, wanted.checkpoint) for path in wanted.runs]
    for path, run in zip(wanted.runs, runs, strict=True):
        check_codec(path, run, dataset, advice="give the dataset that the run was trained on")
    names = _names(wanted.runs, runs)
    report = {
        **_describe(wanted, dataset, runs, names),
        **_measure_likelihood(wanted, dataset, runs, names, counts),
        "paper_table": _paper_table(wanted.runs[0]),
        "transfer": measure_transfer(
            wanted.runs[0],
            dataset,
            old_dataset=wanted.old_dataset,
            checkpoint=wanted.checkpoint,
            batch_size=wanted.batch_size,
        ),
        "notices": [],
        "samples": None,
        "statistics": [],
        "originality": [],
        "checkpoints": [],
    }
    music = _write_music(wanted, dataset, runs, names, counts, report)
    if music.written:
        _compare_music(wanted, dataset, music, index(), report)
    return report, music


def _describe(wanted: Wanted, dataset: Dataset, runs: list[LoadedRun], names: list[str]) -> dict[str, Any]:
    """Returns what was measured, and with what."""
    options = {
        field.name: getattr(wanted, field.name)
        for field in dataclasses.fields(wanted)
        if field.name not in ("runs", "command", "old_dataset")
    }
    options["old_dataset"] = None if wanted.old_dataset is None else str(wanted.old_dataset.path)
    return {
        "command": wanted.command,
        "version": importlib.metadata.version("ostinato"),
        "libraries": {name: importlib.metadata.version(name) for name in ("jax", "flax", "numpy")},
        "options": options,
        "workdir": str(wanted.runs[0]),
        "dataset": {"path": str(dataset.path), "fingerprint": dataset.fingerprint},
        "step": runs[0].step,
        "params_sha256": runs[0].params_sha256,
        "runs": [
            {"name": name, "workdir": str(path), "step": run.step, "params_sha256": run.params_sha256}
            for name, path, run in zip(names, wanted.runs, runs, strict=True)
        ],
        "held_out": held_out_split(dataset),
        "bootstrap": {"resamples": bootstrap.NUM_RESAMPLES, "level": bootstrap.LEVEL, "seed": bootstrap.SEED},
    }


def _measure_likelihood(
    wanted: Wanted, dataset: Dataset, runs: list[LoadedRun], names: list[str], counts: Callable[[], NgramCounts]
) -> dict[str, Any]:
    """Returns how likely every split is to the runs and the baselines, and whether something speaks against it."""
    baselines = make_baselines(counts(), dataset.codec)[::-1]
    field_names = tuple(field.name for field in dataset.codec.fields)
    composer = RuleComposer.of_split(dataset.source("train"))
    splits, comparisons, leaks, rules = {}, {}, {}, {}
    for split in dataset.splits:
        source = dataset.source(split)
        pieces = choose_pieces(len(source), wanted.max_train_pieces if split == "train" else 0)
        logger.info("likelihood of %d pieces (%s split)", len(pieces), split)
        material = measure_material(source, pieces)
        scores = [
            *(
                score_network(run, source, pieces, batch_size=wanted.batch_size, name=name)
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
        "splits": splits,
        "comparisons": comparisons,
        "leaks": leaks,
        "rules": rules,
        "warnings": [leak["warning"] for leak in leaks.values() if leak["warning"]],
    }


def _paper_table(workdir: Path) -> list[dict[str, Any]]:
    """Returns the paper's table, or nothing for an imported run, which has not written down how it was trained."""
    if not (workdir / FILE).is_file():
        return []
    return [{**row._asdict(), "improvement": row.improvement} for row in paper_table(workdir)]


def _write_music(
    wanted: Wanted,
    dataset: Dataset,
    runs: list[LoadedRun],
    names: list[str],
    counts: Callable[[], NgramCounts],
    report: dict[str, Any],
) -> Music:
    """Returns new and held-out pieces, and adds to the report how they were made, or why there are none."""
    if not wanted.num_samples:
        return NO_MUSIC
    if report["held_out"] not in HELD_OUT:
        report["notices"].append("the dataset has no held-out split, so no pieces were written to be compared with it")
        return NO_MUSIC
    held_out = read_held_out(dataset, report["held_out"])
    if not held_out.pieces:
        report["notices"].append(f"the {held_out.split} split holds no notes, so no pieces were written to be compared")
        return NO_MUSIC
    num_notes = choose_lengths([piece.num_notes for piece in held_out.pieces], wanted.num_samples, wanted.seed)
    asked = Asked(num_notes, wanted.seed, wanted.temperature, wanted.batch_size)
    written = []
    for run, name in zip(runs, names, strict=True):
        logger.info("%d pieces of up to %d notes by %s", len(num_notes), max(num_notes), name)
        written.append((name, write_by_run(run, asked)))
    logger.info("as many by the baselines")
    written += write_by_composers(dataset, asked, counts=counts).items()
    report["samples"] = {
        "split": held_out.split,
        "held_out": len(held_out.pieces),
        "num_notes": num_notes,
        "sample_command": f"ostinato sample --workdir {wanted.runs[0]} --output FOLDER --num-pieces {len(num_notes)} "
        f"--num-notes {max(num_notes)} --seed {wanted.seed} --temperature {wanted.temperature:g}"
        + (" --checkpoint latest" if wanted.checkpoint == "latest" else ""),
    }
    report["notices"] += [
        f"{name}: only {len(pieces)} of {len(num_notes)} pieces have a note"
        for name, pieces in written
        if len(pieces) < len(num_notes)
    ]
    return Music(held_out, [(name, pieces) for name, pieces in written if pieces])


def _compare_music(wanted: Wanted, dataset: Dataset, music: Music, index: CopyIndex, report: dict[str, Any]) -> None:
    """Adds to the report how the new pieces compare with real ones, and what they share with the training split."""
    real = music.held_out.pieces
    for name, pieces in music.written:
        logger.info("music by %s beside %d real pieces", name, len(real))
        report["originality"].append({"name": name, **compare_originality(index, pieces, real)})
        if min(len(real), len(pieces)) >= MIN_PIECES:
            report["statistics"].append({"name": name, **compare_statistics(pieces, real, seed=wanted.seed)})
    if len(real) < MIN_PIECES:
        report["notices"].append(
            f"{len(real)} held-out {'piece is' if len(real) == 1 else 'pieces are'} too few for musical statistics, "
            f"which need {MIN_PIECES}"
        )
    if wanted.by_checkpoint:
        asked = Asked(report["samples"]["num_notes"], wanted.seed, wanted.temperature, wanted.batch_size)
        report["checkpoints"] = measure_checkpoints(wanted.runs[0], dataset, music.held_out, asked, index)


def _names(workdirs: Sequence[Path], runs: Sequence[LoadedRun]) -> list[str]:
    """Returns what the tables call the runs: a single one by its cell, several by their folders too."""
    if len(runs) == 1:
        return [runs[0].config.model.cell]
    folders = [path.name for path in workdirs]
    if len(set(folders)) < len(folders):
        folders = [str(path) for path in workdirs]
    return [f"{folder} ({run.config.model.cell})" for folder, run in zip(folders, runs, strict=True)]
