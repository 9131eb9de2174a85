"""What every stage of a prepare job knows: the configuration and the places."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ostinato.beam_pipelines import spool
from ostinato.beam_pipelines.base import Base
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.labels import Labels, load_labels
from ostinato.beam_pipelines.inputs.places import printable
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.isolation import IsolatedPool, IsolationError, Limits, shared_pool
from ostinato.configs.errors import UserError
from ostinato.configs.preparation import PrepareConfig
from ostinato.configs.versions import package_version

VERSION = package_version("ostinato")

BALLAST = "ballast"
"""A note that is removed before it is noted why a stage failed: there has to be room for that on a full disk."""
BALLAST_BYTES = 1 << 14

_OF_THE_SCAN = ("min_notes", "max_notes", "max_file_mb", "max_parse_mb", "max_parse_s", "pedal", "bars")
"""The fields of the configuration that the scan reads, beside those that `digest_settings` looks at closer."""


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
    settings: str = ""
    """A digest of all but the inputs that decides what the scan finds; see `digest_settings`."""
    key: str = ""
    """A digest of all that decides what the job writes."""
    base: Base | None = None
    """The dataset that this one is made from."""
    verify: bool = False
    """Whether inputs that were read before are compared by their bytes."""

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
                files.delete_file(self.work_file("failed", BALLAST, "json"))
            with contextlib.suppress(StorageError):
                self.write_note("failed", "error", str(error))
            raise

    def is_of_base(self, unit: int) -> bool:
        """Returns whether the base has read a unit."""
        return self.base is not None and unit <= self.base.last_unit

    def identity(self, number: int, unit: Unit) -> str:
        """Returns what the spools of a unit are known by."""
        return unit.identity(self.base.settings[number] if self.base and self.is_of_base(number) else self.settings)

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
        """Returns the path of a file in the work folder.

        The stage is units, reading, scanned, assigned, written, progress or failed.
        """
        return files.join(self.work, stage, f"{name.replace('/', '-')}.{ending}")

    def write_note(self, stage: str, name: str, content: Any) -> None:
        """Writes what a stage has done to the work folder, as JSON."""
        files.write_bytes(self.work_file(stage, name, "json"), json.dumps(content).encode())

    def note_reading(self, path: str) -> None:
        """Notes what this thread of this worker reads from now on; it has one such note, which is replaced."""
        worker = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
        self.write_note("reading", worker, {"path": printable(path), "time_s": time.time()})

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


def digest_settings(config: PrepareConfig, labels: str) -> str:
    """Returns a digest of all but the inputs that decides what the scan finds in them.

    Args:
        config: of the job.
        labels: path of the file of labels, or empty.
    """
    found = load_labels(labels) if labels else None
    said = {
        "ostinato": VERSION,
        "verovio": _version_of("verovio"),
        "spool": spool.FORMAT,
        **{name: getattr(config, name) for name in _OF_THE_SCAN},
        "only_drums": config.codec.name != "notes",
        "style": style_column(config, found),
        "labels": hashlib.sha256(files.read_bytes(labels)).hexdigest() if labels else "",
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def digest_job(
    config: PrepareConfig,
    settings: str,
    units: Sequence[Unit],
    not_read: Mapping[str, int],
    base: Base | None,
    *,
    keeps_scan: bool = False,
) -> str:
    """Returns a digest of all that decides what a job writes; see `digest_settings`."""
    made_from = base and [base.fingerprint, base.removed]
    said = [settings, asdict(config), sorted(not_read.items()), made_from, keeps_scan]
    digest = hashlib.sha256(json.dumps(said).encode())
    for unit in units:
        digest.update(unit.identity(settings).encode())
    return digest.hexdigest()


def _version_of(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""
