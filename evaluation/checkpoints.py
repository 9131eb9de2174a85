"""Likelihood and originality along a run, checkpoint by checkpoint, of those that the run still has."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.records import Dataset
from ostinato.evaluation.likelihood import score_network, split_stats
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.memorization.originality import compare_originality
from ostinato.evaluation.samples import HeldOut, SampleRequest, write_by_run
from ostinato.train.checkpoint import GoneError, load_params, look

logger = logging.getLogger(__name__)


def measure_checkpoints(
    workdir: Path, dataset: Dataset, held_out: HeldOut, request: SampleRequest, index: CopyIndex
) -> list[dict[str, Any]]:
    """Returns a row for each checkpoint: step, likelihood, and how much its pieces share with the training set.

    Nats per note are those of the whole held-out split. Likelihood that gets better while sharing stays at the level of
    `held_out` is learning; sharing that leaves it is learning by heart.
    """
    steps = look(workdir, lambda checkpoints: checkpoints.steps)
    source = dataset.source(held_out.split)
    pieces = np.arange(len(source))
    num_notes = split_stats(source, pieces).notes_p.sum()
    rows = []
    for step in steps:
        logger.info("checkpoint of step %d: %d pieces", step, len(request.num_notes))
        try:
            run = load_params(workdir, step)
        except GoneError as error:  # the run is still at work
            logger.warning("%s", error)
            continue
        score = score_network(run, source, pieces, batch_size=request.batch_size, name=str(step))
        written = write_by_run(run, request)
        if not written:
            continue
        found = compare_originality(index, written, held_out.pieces)
        row: dict[str, Any] = {"step": step, "nats_per_note": float(score.nats_p.sum() / num_notes)}
        for name in ("generated", "held_out"):
            row[name] = {figure: found[name][figure]["mean"] for figure in ("longest_notes", "most_bits")}
            row[name]["ngrams"] = found[name]["ngrams"]
        rows.append(row | {"beyond_human": found["beyond_human"]})
    return rows
