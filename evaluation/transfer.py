"""What fine-tuning changed: a run and the run that it began with, on held-out music of the new and the old corpus."""

from pathlib import Path
from typing import Any, Literal

from ostinato.data.records import Dataset, DatasetError
from ostinato.evaluation.held_out import choose_pieces, held_out_split
from ostinato.evaluation.likelihood import check_codec, measure_material, score_network
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
    said = run.description.get("init_from")
    if said is None:
        return None
    check_codec(workdir, run, dataset, advice=_ADVICE)
    report: dict[str, Any] = {"origin": said, "corpora": []}
    try:
        origin = _load_origin(said)
    except CheckpointError as error:
        report["corpora"] = [{"corpus": corpus, "missing": str(error)} for corpus in ("new", "old")]
        return report
    try:
        old = old_dataset or _dataset_of(origin, said["workdir"])
    except DatasetError as error:
        old, missing = None, f"{error}; name the old corpus with --old-dataset"
    else:
        missing = ""
        check_codec(workdir, run, old, advice=_ADVICE)
    heard = set() if old is None else _ids(old, "train")
    for corpus, held in (("new", dataset), ("old", old)):
        if held is None:
            report["corpora"].append({"corpus": corpus, "missing": missing})
        else:
            found = _measure(origin, run, held, batch_size=batch_size, max_pieces=max_pieces, heard=heard)
            report["corpora"].append({"corpus": corpus, **found})
    return report


def transfer_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of nats per note before and after, by corpus; no cells where nothing was fine-tuned.

    A change below zero is a gain.
    """
    heading = ["held-out pieces of", "before", "95 %", "after", "95 %", "change", "95 %"]
    corpora = (report.get("transfer") or {"corpora": []})["corpora"]
    return heading, [_row(found) for found in corpora]


def _row(found: dict[str, Any]) -> list[str]:
    if "missing" in found:
        return [f"the {found['corpus']} corpus: not measured, {found['missing']}", *["-"] * 6]
    name = f"the {found['corpus']} corpus, {Path(found['dataset']['path']).name} ({found['split']})"
    if found["heard_before"]:
        name += f"; {found['heard_before']} of {found['after']['pieces']} were in the old training split"
    gain, bounds = found["gain"]["nats_per_note_less"], found["gain"]["nats_per_note_less_interval"]
    cells = [name]
    for score in (found["before"], found["after"]):
        cells += [f"{score['nats_per_note']:.3f}", _interval(score["nats_per_note_interval"], ".2f")]
    return [*cells, f"{-gain:+.3f}", _interval(bounds and [-bounds[1], -bounds[0]], "+.3f")]


def _interval(bounds: list[float] | None, style: str) -> str:
    return "-" if bounds is None else f"{bounds[0]:{style}} to {bounds[1]:{style}}"


def _measure(
    before: LoadedRun, after: LoadedRun, dataset: Dataset, *, batch_size: int, max_pieces: int, heard: set[str]
) -> dict[str, Any]:
    """Returns the figures of both on the same held-out pieces."""
    split = held_out_split(dataset)
    source = dataset.source(split)
    pieces = choose_pieces(len(source), max_pieces)
    material = measure_material(source, pieces)
    scores = [
        score_network(run, source, pieces, batch_size=batch_size, name=name)
        for run, name in ((before, "before"), (after, "after"))
    ]
    field_names = tuple(field.name for field in dataset.codec.fields)
    return {
        "dataset": {"path": str(dataset.path), "fingerprint": dataset.fingerprint},
        "split": split,
        "heard_before": sum(source[number].id in heard for number in pieces.tolist()),
        "before": score_as_json(scores[0], material, field_names),
        "after": score_as_json(scores[1], material, field_names),
        "gain": compare(scores[1], scores[0], material),
    }


def _load_origin(said: dict[str, Any]) -> LoadedRun:
    """Returns the run that another one began with, at the checkpoint that it began with.

    Raises:
        CheckpointError: it is no longer there, or it is another one.
    """
    origin = load_params(Path(said["workdir"]), said["step"])
    if origin.params_sha256 != said["params_sha256"]:
        raise CheckpointError(
            f"{said['workdir']}: the checkpoint of step {said['step']} has the parameters {origin.params_sha256[:12]}, "
            f"and the run began with {said['params_sha256'][:12]}"
        )
    return origin


def _dataset_of(origin: LoadedRun, workdir: str) -> Dataset:
    """Returns what a run was trained on.

    Raises:
        DatasetError: it is no longer there, or it is another one.
    """
    said = origin.description["dataset"]
    if not said["fingerprint"]:
        raise DatasetError(f"{workdir}: was imported, and does not say what it was trained on")
    dataset = Dataset.open(said["path"])
    if dataset.fingerprint != said["fingerprint"]:
        raise DatasetError(
            f"{said['path']}: has the fingerprint {dataset.fingerprint[:12]}, and {workdir} was trained on "
            f"{said['fingerprint'][:12]}"
        )
    return dataset


def _ids(dataset: Dataset, split: str) -> set[str]:
    source = dataset.source(split)
    return {source[number].id for number in range(len(source))}
