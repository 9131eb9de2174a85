"""`ostinato prepare`."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ostinato.configs.preparation import PrepareConfig
from ostinato.launch.arguments import check_beam_options
from ostinato.launch.commands.show import say, show_manifest, starting

_MANY_NEAR = 0.2
"""Where more of the pieces than this are near duplicates, they may be arrangements or performances that are wanted."""


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Turns a collection of MIDI files into a dataset. Options of Apache Beam (--runner=FlinkRunner) go to it."""

    midi: tuple[str, ...] = ()
    """Files, folders that are searched through, globs, archives (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst,
    with the extra `7z` .7z), lists (.txt, one path or URL a line); also in any store that Beam reads (s3://, gs://,
    hdfs://). Read are MIDI, ABC and, with the extra `notation`, MusicXML and kern."""
    output: str
    """The dataset's folder, here or in such a store; it must not exist yet, but for --add."""
    labels: str = ""
    """A .csv or .jsonl file with the columns path, style, split, group (all but path optional) and any further ones,
    which are kept as metadata. Files of one group share a split."""
    parsers: int = 0
    """Parser processes of each worker; 0 is one for each core here, one on a cluster. Changes the speed only."""
    progress: Literal["auto", "json"] = "auto"
    """auto: bars on a terminal, else a log line now and then. json: on standard error every five seconds, and where a
    stage begins, a line of JSON with the numbers, the rates and the time left."""
    status: str = ""
    """OUTPUT of another prepare, also in a store: say how far it is, and do nothing else."""
    config: Annotated[PrepareConfig, tyro.conf.arg(name="")] = field(default_factory=PrepareConfig)
    base: Annotated[str, tyro.conf.arg(name="from")] = ""
    """Make a larger or smaller dataset from this one, which was prepared with --keep-scan, here or in a store: of
    --midi only what is new is read, and of the old inputs none changes its split. Settings and the vocabulary of the
    notes codec stay."""
    add: bool = False
    """As --from OUTPUT, but in place: when the larger dataset is whole, it takes the name of the one that is there,
    which nobody may be reading then. Not in a store."""
    remove: tuple[str, ...] = ()
    """Names of inputs of the dataset of --from or --add that are left out, as pieces.jsonl has them; also folders,
    archives and patterns with * and ?."""
    keep_scan: bool = False
    """Keep what was found in the inputs in the dataset (folder scan/), so that --from can add to it; what --from makes
    keeps it always. Takes about 4 bytes a note and 2 kB a piece."""
    verify: bool = False
    """Where a command that was interrupted is given again: read all inputs and compare their bytes. Else what was read
    is read again where path, size or time of modification (ETag) are others."""
    clean: bool = False
    """Remove what a command that was interrupted has left beside --output (OUTPUT.partial), and do nothing else."""
    beam_options: tyro.conf.Suppress[tuple[str, ...]] = ()
    """What is left of the command line."""

    @classmethod
    def for_words(cls, words: Sequence[str]) -> type["Prepare"]:
        """Returns the command as these words have it: --status stands alone."""
        if not any(word.partition("=")[0] == "--status" for word in words):
            return cls
        alone: list[tuple[str, Any, Any]] = [
            ("midi", tuple[str, ...], field(default=())),
            ("output", str, field(default="")),
        ]
        return make_dataclass("Prepare", alone, bases=(cls,), frozen=True, kw_only=True)

    def run(self) -> None:
        """Prepares the dataset and prints what it holds."""
        if self.clean:
            self._clean()
            return
        if self.status:
            self._show_status()
            return
        starting("looking for music in %s", ", ".join(self.midi))
        check_beam_options("prepare", self)
        from ostinato.beam_pipelines.prepare import prepare
        from ostinato.launch.progress import shown

        with shown(self.progress) as watch:
            manifest = prepare(
                list(self.midi),
                self.output,
                self.config,
                list(self.beam_options),
                labels=self.labels,
                num_parsers=self.parsers,
                verify=self.verify,
                keep_scan=self.keep_scan,
                base=self.base.rstrip("/"),
                remove=self.remove,
                add=self.add,
                watch=watch,
            )
        _show(self.output, manifest)
        counts, near = manifest["counts"], manifest["duplicates_by_kind"].get("near", 0)
        if self.config.duplicates == "drop" and near > _MANY_NEAR * (counts["accepted"] + counts["duplicates"]):
            say(f"{near:,} pieces were left out as near duplicates; --duplicates variants keeps them, in one split")

    def _clean(self) -> None:
        check_beam_options("prepare", self)
        from ostinato.beam_pipelines.inputs import files
        from ostinato.beam_pipelines.output import clean

        files.configure(self.beam_options)
        output = self.output.rstrip("/")
        removed = clean(output)
        say(f"removed {', '.join(removed)}" if removed else f"{output}.partial: not there, so nothing is removed")

    def _show_status(self) -> None:
        check_beam_options("prepare", self)
        from ostinato.beam_pipelines.inputs import files
        from ostinato.beam_pipelines.progress import read_status
        from ostinato.beam_pipelines.runners import complete_beam_args
        from ostinato.launch.progress import json_line, text

        files.configure(complete_beam_args(list(self.beam_options)))
        progress, is_alive = read_status(self.status)
        if self.progress == "json":
            print(json_line(progress, is_alive=is_alive))
        elif progress.stage == "finished":
            say(f"{self.status}: finished; {progress.inputs:,} files read, {progress.rejected:,} rejected")
        else:
            ago_s = max(0.0, time.time() - progress.time_s)
            state = progress.stage if is_alive else f"ended while {progress.stage}; the same command resumes"
            say(f"{self.status}: {state}; {text(progress)} ({ago_s:.0f} s ago)")


def _show(output: str, manifest: dict[str, Any]) -> None:
    """Prints what a dataset holds that has just been prepared, here or in another store."""
    from ostinato.beam_pipelines.inputs import files

    if not files.is_remote(output):
        show_manifest(Path(output), manifest)
        return
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        name = "statistics.json"
        Path(folder, name).write_bytes(files.read_bytes(files.join(output, name)))
        show_manifest(Path(folder), manifest, title=output)
    say(f"see {files.join(output, 'report.html')}")
