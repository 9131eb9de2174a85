"""Options of Apache Beam: which runner a job has, and what that runner needs."""

import argparse
import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import apache_beam as beam
from apache_beam import pipeline as beam_pipeline
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from ostinato.configs.errors import UserError

LOCAL_RUNNER = "FnApiRunner"
"""Beam's own, in this process. It is named because DirectRunner first tries to download another one."""

DASK_RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"
"""The only name by which Beam finds it."""


class BeamOptionsError(UserError):
    """Options that neither ostinato nor Beam knows, or a runner that is not installed."""

    def __init__(self, message: str, *, unknown: Sequence[str] = ()) -> None:
        """Takes the line, and the words that are not known."""
        super().__init__(message)
        self.unknown = tuple(unknown)


@contextlib.contextmanager
def open_pipeline(beam_args: Sequence[str]) -> Iterator[beam.Pipeline]:
    """Opens a pipeline, which runs when the block ends.

    In a notebook it is as anywhere else. Beam would take it for one that the user has written in a cell, and look for
    pandas to show it with.
    """
    with contextlib.ExitStack() as stack:
        for name, answer in (("alter_label_if_ipython", None), ("is_in_ipython", False)):
            stack.callback(setattr, beam_pipeline, name, getattr(beam_pipeline, name))
            setattr(beam_pipeline, name, lambda *_, answer=answer: answer)
        yield stack.enter_context(beam.Pipeline(options=PipelineOptions(list(beam_args))))


def reason_of_cluster(error: BaseException) -> str | None:
    """Returns in one line why a cluster has given a job up, as when a worker is gone.

    None where a stage raised an error, which Beam brings back with its traceback, or no cluster did the job.
    """
    _, found, said = str(error).partition(" failed in state FAILED: ")
    if not found or "Traceback (most recent call last)" in said:
        return None
    return next(iter(said.splitlines()), "").strip()


def complete_beam_args(beam_args: list[str]) -> list[str]:
    """Returns the options with what their runner needs, where the user has not said otherwise.

    Raises:
        BeamOptionsError: an option is unknown (Beam itself ignores those), or Dask is not installed.
    """
    runner = _find_runner(beam_args)
    if runner is None:
        beam_args = [f"--runner={LOCAL_RUNNER}", *beam_args]
    elif runner.rpartition(".")[2] == "DaskRunner":
        beam_args = _complete_for_dask(beam_args)
    elif "Spark" in runner and not _names(beam_args, "--environment_cache_millis"):
        beam_args = [*beam_args, "--environment_cache_millis=60000"]  # else each stage starts new Python workers
    _check(beam_args)
    return beam_args


def runs_here(beam_args: list[str]) -> bool:
    """Tells whether all stages run in this process."""
    mode = PipelineOptions(beam_args).view_as(DirectOptions).direct_running_mode
    return _find_runner(beam_args) == LOCAL_RUNNER and mode == "in_memory"


def _complete_for_dask(beam_args: list[str]) -> list[str]:
    try:
        import apache_beam.runners.dask.dask_runner  # noqa: F401  # declares its options
    except ImportError as error:
        raise BeamOptionsError(
            f"DaskRunner needs dask and distributed: pip install 'ostinato[dask]' ({error})"
        ) from error
    beam_args = re.sub(
        r"--runner(=|\n)\S*DaskRunner", rf"--runner\g<1>{DASK_RUNNER}", "\n".join(beam_args), count=1
    ).split("\n")
    if not _names(beam_args, "--dask_partition_size", "--dask_npartitions"):
        # By default a task is 128 elements: whatever has less than 100,000 files would run on one worker.
        beam_args.append("--dask_partition_size=1")
    return beam_args


def _find_runner(beam_args: list[str]) -> str | None:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner")
    return parser.parse_known_args(beam_args)[0].runner


def _names(beam_args: list[str], *options: str) -> bool:
    return any(argument.split("=")[0] in options for argument in beam_args)


def _check(beam_args: list[str]) -> None:
    parser: Any = _Parser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):  # two groups of Beam's may declare one option
            group._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(beam_args)
    if unknown:
        raise BeamOptionsError(
            f"unknown options {' '.join(unknown)}; see 'ostinato prepare --help' and Beam's own options",
            unknown=unknown,
        )


class _Parser(argparse.ArgumentParser):
    """One that tells a mistake in a line, and not how all of Beam's options are used."""

    def error(self, message: str) -> NoReturn:
        raise BeamOptionsError(message)
