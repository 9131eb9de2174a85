"""What every stage of a prepare job knows: the configuration and the places."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.labels import Labels, load_labels
from ostinato.beam_pipelines.isolation import IsolatedPool, IsolationError, Limits, shared_pool
from ostinato.configs.errors import UserError
from ostinato.configs.schema import PrepareConfig
from ostinato.configs.versions import package_version

VERSION = package_version("ostinato")


class VersionError(UserError):
    """A worker that runs other code than the job."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Small and picklable: it goes to every worker with every stage."""

    config: PrepareConfig
    folder: str
    """Where shards, rejects and duplicates are written."""
    work: str
    """For what only the job itself needs: pieces between the stages, notes of what is done."""
    name: str
    """Of the dataset; the beginning of its shards' names."""
    labels: str
    """Path of the file of labels, or empty."""
    num_parsers: int
    """Parser processes of each worker process."""
    beam_args: tuple[str, ...]
    """Options of Beam; those for storage are given to it in the workers too, since some runners lose them."""

    version: str = VERSION
    """Of ostinato, where the job was started."""

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Surrounds a stage: storage can be reached, and what goes wrong is noted for the process that started the job.

        Beam brings an error back from a worker as the text of a traceback, or as one of another type.

        Raises:
            VersionError: this worker has another version, whose bytes may differ.
        """
        files.configure(self.beam_args)
        try:
            if self.version != VERSION:
                raise VersionError(f"this worker has ostinato {VERSION}, the job was started with {self.version}")
            yield
        except (UserError, IsolationError) as error:
            with contextlib.suppress(StorageError):
                self.write_note("failed", "error", str(error))
            raise

    def find_error(self) -> str | None:
        """Returns what a stage has noted when it failed."""
        with contextlib.suppress(StorageError):
            return self.read_note("failed", "error")
        return None

    def pool(self) -> IsolatedPool:
        """Returns this process's parsers."""
        limits = Limits(memory_mb=self.config.max_parse_mb, cpu_s=self.config.max_parse_s)
        return shared_pool(self.num_parsers, limits)

    def load_labels(self) -> Labels | None:
        """Returns the labels, if the user gave any."""
        return load_labels(self.labels) if self.labels else None

    def spool(self, number: int) -> str:
        """Returns the path of a file of packed pieces."""
        return self.work_file("scanned", f"{number:08d}", "pieces")

    def work_file(self, stage: str, name: str, ending: str) -> str:
        """Returns the path of a file in the work folder: stage is units, scanned, assigned, written or failed."""
        return files.join(self.work, stage, f"{name.replace('/', '-')}.{ending}")

    def write_note(self, stage: str, name: str, content: Any) -> None:
        """Writes what a stage has done to the work folder, as JSON."""
        files.write_bytes(self.work_file(stage, name, "json"), json.dumps(content).encode())

    def read_note(self, stage: str, name: str) -> Any:
        """Returns what `write_note` wrote."""
        return json.loads(files.read_bytes(self.work_file(stage, name, "json")))


def style_column(config: PrepareConfig, labels: Labels | None) -> str:
    """Returns where a piece's style is found: none, folder or labels.

    Raises:
        UserError: styles shall come from labels that do not have any.
    """
    has_styles = labels is not None and "style" in labels.columns
    style = config.codec.style
    if style == "labels" and not has_styles:
        raise UserError("--codec.style labels needs a file given by --labels with a column 'style'")
    if style == "auto":
        return "labels" if has_styles else "none"
    return style
