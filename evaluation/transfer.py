"""What fine-tuning changed: a run and the run that it began with, on held-out music of the new and the old corpus."""

from pathlib import Path
from typing import Any, Literal

from ostinato.data.records import Dataset, DatasetError
from ostinato.evaluation.held_out import choose_pieces, held_out_split
from ostinato.evaluation.likelihood import check_codec, score_network, split_stats
from ostinato.evaluation.scores import compare, score_as_json
from ostinato.train.checkpoint import LoadedRun, load_params
from ostinato.train.run_metadata import CheckpointError

_ADVICE = "prepare it with the same --codec options"


def measure_transfer(
    workdir: Path,
    dataset: Dataset,
    *,
    old_dataset: Dataset | None,
    checkpoint: Literal["best", "latest"],
    batch_size: int,
    max_pieces: int = 0,
) -> dict[str, Any] | None:
    """Returns the report of a fine-tuned run, ready for JSON, or None if the run did not begin with another.

    `corpora` has one entry for the new corpus and one for the old: `before` and `after` are the figures of
    `scores.score_as_json`, `gain` those of `scores.compare` (nats that the run needs less than before). An entry that
    could not be measured, since its run or dataset is no longer there, has `missing` instead, which says why.

    Args:
        workdir: the run.
        dataset: the new corpus.
        old_dataset: the old corpus; None for the one that the first run was trained on, if it is still there.
        checkpoint: of the run; that of the first run is the one that this one began with.
        batch_size: pieces measured at the same time.
        max_pieces: of each held-out split at most so many are measured, evenly spread; 0 is all.

    Raises:
        ValueError: a corpus has another codec than the run, or the run has no checkpoint.
    """
    run = load_params(workdir, checkpoint)
    begun = run.description.get("init_from")
    if begun is None:
        return None
    check_codec(workdir, run, dataset, advice=_ADVICE)
    try:
        origin = _load_origin(begun)
    except CheckpointError as error:
        return {"origin": begun, "corpora": [{"corpus": name, "missing": str(error)} for name in ("new", "old")]}
    found: list[dict[str, Any]] = [{"corpus": "new"}, {"corpus": "old"}]
    corpora = [dataset]
    try:
        corpora.append(old_dataset or _dataset_of(origin, begun["workdir"]))
    except DatasetError as error:
        found[1]["missing"] = f"{error}; name the old corpus with --old-dataset"
    learnt: set[str] = set()
    for old in corpora[1:]:
        check_codec(workdir, run, old, advice=_ADVICE)
        source = old.source("train")
        learnt = {source[number].id for number in range(len(source))}
    for entry, corpus in zip(found, corpora, strict=False):
        entry |= _before_and_after(origin, run, corpus, learnt, batch_size=batch_size, max_pieces=max_pieces)
    return {"origin": begun, "corpora": found}


def _before_and_after(
    before: LoadedRun, after: LoadedRun, dataset: Dataset, learnt: set[str], *, batch_size: int, max_pieces: int
) -> dict[str, Any]:
    """Returns the figures of both on the same held-out pieces; `learnt` are the pieces of the old training split."""
    split = held_out_split(dataset) or "train"
    source = dataset.source(split)
    pieces = choose_pieces(len(source), max_pieces)
    stats = split_stats(source, pieces)
    scores = [
        score_network(run, source, pieces, batch_size=batch_size, name=name)
        for run, name in ((before, "before"), (after, "after"))
    ]
    field_names = tuple(field.name for field in dataset.codec.fields)
    return {
        "dataset": {"path": str(dataset), "fingerprint": dataset.fingerprint},
        "split": split,
        "heard_before": sum(source[number].id in learnt for number in pieces.tolist()),
        **{score.name: score_as_json(score, stats, field_names) for score in scores},
        "gain": compare(scores[1], scores[0], stats),
    }


def _load_origin(begun: dict[str, Any]) -> LoadedRun:
    """Returns the run that another one began with, at that checkpoint; a CheckpointError says why it cannot be had."""
    origin = load_params(Path(begun["workdir"]), begun["step"])
    has, wanted = origin.params_sha256, begun["params_sha256"]
    if has != wanted:
        where = f"{begun['workdir']}: the checkpoint of step {begun['step']}"
        raise CheckpointError(f"{where} has the parameters {has[:12]}, and the run began with {wanted[:12]}")
    return origin


def _dataset_of(origin: LoadedRun, workdir: str) -> Dataset:
    """Returns what a run was trained on; a DatasetError says why it cannot be had."""
    path, wanted = origin.description["dataset"]["path"], origin.description["dataset"]["fingerprint"]
    if not wanted:
        raise DatasetError(f"{workdir}: was imported, and does not say what it was trained on")
    if not path:
        raise DatasetError(f"{workdir}: is a model that was brought here, and its dataset was not")
    dataset = Dataset.open(path)
    if (has := dataset.fingerprint) != wanted:
        raise DatasetError(f"{path}: has the fingerprint {has[:12]}, and {workdir} was trained on {wanted[:12]}")
    return dataset
