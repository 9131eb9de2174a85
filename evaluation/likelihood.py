"""The network's likelihood on a split, by the evaluation step that training uses."""

import numpy as np

from ostinato.evaluation.scores import Score
from ostinato.music.records import TFRecordSource
from ostinato.train.checkpoint import LoadedRun
from ostinato.train.data import evaluation_batches
from ostinato.train.step import evaluate, make_eval_step, make_mesh, rows_of_this_host


def score_model(run: LoadedRun, source: TFRecordSource, *, batch_size: int, name: str) -> Score:
    """Returns how well a trained model predicts every row of every piece of a split but START.

    The memory runs through each whole piece, whatever the excerpts of training were.
    """
    mesh = make_mesh(batch_size)
    batches = evaluation_batches(
        source, batch_size, run.config.data.sequence_length, rows=rows_of_this_host(mesh, batch_size)
    )
    eval_step = make_eval_step(run.model, mesh)
    totals = evaluate(eval_step, run.params, run.model, batches, mesh=mesh, batch_size=batch_size)
    return Score(
        name,
        np.asarray(totals.nll_f),
        np.asarray(totals.correct_f),
        float(totals.all_correct),
        float(totals.weight),
        float(source.num_notes),
    )
