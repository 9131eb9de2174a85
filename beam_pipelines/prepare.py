"""ostinato prepare: a collection of MIDI files becomes a dataset, as one Apache Beam job.

    ostinato prepare --midi FOLDER --output DATASET

From the command to the bytes: `prepare` -> `pipeline.build` -> `scan`, `grouping.assign`, `write` -> `parse`.
"""

import contextlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ostinato.beam_pipelines import work
from ostinato.beam_pipelines.base import check_config, open_base
from ostinato.beam_pipelines.finish import finish
from ostinato.beam_pipelines.inputs import files, sources
from ostinato.beam_pipelines.inputs.endings import describe_not_read
from ostinato.beam_pipelines.inputs.labels import load_labels
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.job import VERSION, Job, digest_job, digest_settings, style_column
from ostinato.beam_pipelines.output import VainError, open_output, settle
from ostinato.beam_pipelines.pipeline import build
from ostinato.beam_pipelines.progress import Progress, watched
from ostinato.beam_pipelines.report import write_report
from ostinato.beam_pipelines.runners import complete_beam_args, open_pipeline, reason_of_cluster, runs_here
from ostinato.configs.errors import UserError
from ostinato.configs.preparation import PrepareConfig
from ostinato.data import dataset_writer

logger = logging.getLogger(__name__)

INPUTS_PER_UNIT = 1024
STREAM_PARTS = 8
"""Workers of a cluster that read one compressed archive: each reads all of it and parses its share of the members."""


class PrepareError(UserError):
    """What was asked for makes no sense, or a stage failed."""


class NothingNewError(VainError):
    """The dataset that is added to has all inputs already."""


def prepare(
    patterns: list[str],
    output: str | Path,
    config: PrepareConfig,
    beam_args: list[str],
    *,
    labels: str = "",
    num_parsers: int = 0,
    verify: bool = False,
    keep_scan: bool = False,
    base: str = "",
    remove: Sequence[str] = (),
    add: bool = False,
    watch: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Prepares a dataset and returns its manifest.

    Args:
        patterns: see `sources.find_units`.
        output: the dataset's folder, here or in any store that Beam can write; must not exist.
        config: what is kept, how it is split and encoded.
        beam_args: options for Beam, such as `--runner=FlinkRunner`; without a runner the job runs in this process.
        labels: path of a CSV or JSON lines file of what is known about the inputs; see `labels.load_labels`.
        num_parsers: parser processes of each worker process; 0 is one for each core here, and one on a cluster.
        verify: read what an earlier command has read, too, and compare the bytes; else size and time tell of changes.
        keep_scan: keep what was found in the inputs in the dataset, so that others can be made from it.
        base: a dataset with what was found in its inputs, which are in this one, too. None of them changes its split.
        remove: patterns of names of inputs of the base that are left out.
        add: the base is the dataset of `output`, whose place the new one takes when it is whole.
        watch: is called from another thread, now and then, with how far the job is.

    Raises:
        PrepareError: an argument makes no sense, or a stage failed.
        UserError: in one line each, what the sources, the labels, the options of Beam, the storage or the output
            have to say; see `sources`, `labels`, `runners`, `files`, `output` and `finish`.
    """
    output = _check(patterns, str(output), num_parsers, base or (str(output) if add else ""), remove)
    if add:
        output = base = _to_be_replaced(output, base)
    beam_args = complete_beam_args(beam_args)
    files.configure(beam_args)
    before = None
    if base:
        before, of_base = open_base(base, VERSION, remove)
        check_config(config, of_base)
        config = of_base
    style_column(config, load_labels(labels) if labels else None)
    is_local = runs_here(beam_args)
    not_read: Counter[str] = Counter()
    parts = 1 if is_local else STREAM_PARTS
    units = []
    if patterns:
        units = sources.find_units(patterns, inputs_per_unit=INPUTS_PER_UNIT, stream_parts=parts, not_read=not_read)
    num_inputs = _count(units)
    listed = f"{sum(unit.num_inputs or 0 for unit in units):,} inputs found"
    logger.info("%s%s", listed, ", and more in compressed archives and tune books" if num_inputs is None else "")
    if not_read:
        logger.warning("%s", describe_not_read(not_read))
    settings = digest_settings(config, labels)
    keeps_scan = keep_scan or before is not None
    key = digest_job(config, settings, units, not_read, before, keeps_scan=keeps_scan)
    with contextlib.suppress(NothingNewError), open_output(output, key, replaces=add) as place:
        if place.is_complete:
            logger.info("%s: was whole but for its name", place.folder)
        else:
            job = Job(
                config=config,
                folder=place.folder,
                work=place.work,
                name=dataset_writer.dataset_name(Path(output)),
                labels=labels,
                num_parsers=num_parsers or (os.cpu_count() or 1 if is_local else 1),
                beam_args=tuple(beam_args),
                settings=settings,
                key=key,
                base=before,
                verify=verify,
            )
            numbered = work.begin(job, units, inputs_per_unit=INPUTS_PER_UNIT)
            if add and not remove and before and numbered.keys() == before.settings.keys():
                logger.info("%s: holds all of this already", output)
                raise NothingNewError
            if before:  # what was removed stands in its units still
                num_inputs = None if before.removed else _count(numbered.values())
            with watched(job, num_inputs, watch):
                run_job(numbered, job)
                with place.completed() as folder:
                    finish(folder, job, numbered, not_read)
                    write_report(folder)
                    if keeps_scan:
                        work.keep(job, place.scan, numbered)
        place.publish()
    manifest = json.loads(files.read_bytes(files.join(output, "manifest.json")))
    if labels and not manifest.get("labels", {}).get("labelled", 1):
        logger.warning("%s: names none of the inputs; its paths must begin in the folder or archive of --midi", labels)
    return manifest


def _to_be_replaced(output: str, base: str) -> str:
    """Returns the dataset that is added to, once no earlier command has anything left to do there."""
    if base:
        raise PrepareError("--add adds to the dataset of --output, --from makes another one from it: give one of them")
    if files.is_remote(output):
        raise PrepareError(f"{output}: a store cannot replace a dataset in one step; --from makes another one")
    output = os.path.realpath(output)  # a link to it stays
    settle(output)
    return output


def _check(patterns: list[str], output: str, num_parsers: int, base: str, remove: Sequence[str]) -> str:
    """Returns the folder that is meant by `output`."""
    if remove and not base:
        raise PrepareError("--remove leaves inputs of the dataset of --from or --add out, and neither is given")
    if base and not (patterns or remove):
        raise PrepareError("--from and --add need music to add (--midi) or to leave out (--remove)")
    if not (patterns or base):
        raise PrepareError("--midi names nothing; it needs a file, folder, glob, archive, list or URL")
    if not output.strip("/") or output.rstrip("/").endswith(":"):  # as s3:// does
        raise PrepareError(f"--output {output!r} is not the name of a folder that can be made")
    if num_parsers < 0:
        raise PrepareError(f"--parsers {num_parsers} must not be negative")
    return output.rstrip("/")


def run_job(units: Iterable[int], job: Job) -> None:
    """Runs all stages of a job to their end, over the units with these numbers.

    Raises:
        PrepareError: a stage failed in a way that the user can mend, wherever it ran.
    """
    try:
        with open_pipeline(job.beam_args) as pipeline:
            build(pipeline, units, job)
    except Exception as error:
        if _is_interruption(error):
            raise KeyboardInterrupt from error
        if message := job.find_error():
            raise PrepareError(message) from error
        if reason := reason_of_cluster(error):
            raise PrepareError(f"the cluster has given up: {reason}") from error
        raise


def _is_interruption(error: BaseException | None) -> bool:
    """Tells whether Ctrl-C is behind an error: the local runner makes a RuntimeError of what is raised in a stage."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _count(units: Iterable[Unit]) -> int | None:
    """Returns the number of inputs, or None where only reading tells."""
    counts = [unit.num_inputs for unit in units]
    return None if None in counts else sum(count or 0 for count in counts)
