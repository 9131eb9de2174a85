"""Likelihood and originality along a run, checkpoint by checkpoint, of those that the run still has."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.records import Dataset
from ostinato.evaluation.likelihood import measure_material, score_network
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.memorization.originality import originality_by_checkpoint
from ostinato.evaluation.samples import Asked, HeldOut, write_by_run
from ostinato.train.checkpoint import Checkpoints, load_params

logger = logging.getLogger(__name__)


def measure_checkpoints(
    workdir: Path, dataset: Dataset, held_out: HeldOut, asked: Asked, index: CopyIndex
) -> list[dict[str, Any]]:
    """Returns the rows of `originality_by_checkpoint`; nats per note are those of the whole held-out split."""
    with Checkpoints(workdir, read_only=True) as checkpoints:
        steps = checkpoints.steps
    source = dataset.source(held_out.split)
    pieces = np.arange(len(source))
    num_notes = measure_material(source, pieces).notes_p.sum()
    generated, nats_per_note = {}, {}
    for step in steps:
        logger.info("checkpoint of step %d: %d pieces", step, len(asked.num_notes))
        run = load_params(workdir, step)
        score = score_network(run, source, pieces, batch_size=asked.batch_size, name=str(step))
        written = write_by_run(run, asked)
        if written:
            generated[step], nats_per_note[step] = written, float(score.nats_p.sum() / num_notes)
    return originality_by_checkpoint(index, generated, held_out.pieces, nats_per_note=nats_per_note)
