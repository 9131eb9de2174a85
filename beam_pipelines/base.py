"""A dataset that others are made from: it has kept what the scan found in its inputs, so that these are not read again.

    DATASET/scan/job.json       which version found it, for which settings, and what was removed since
    DATASET/scan/units/         what was read
    DATASET/scan/scanned/       spools: the packed pieces, also of duplicates, and the fingerprints

That is the work folder of its job (`work`). How the inputs are divided into units shows there, and nowhere else.
"""

import contextlib
import fnmatch
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from ostinato.beam_pipelines.inputs import files
from ostinato.configs.documents import check_document, read_document, read_lines
from ostinato.configs.errors import UserError
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.data.manifest import FILE, MadeFrom, Manifest, read_manifest

FOLDER = "scan"
DESCRIPTION = "job.json"
FORMAT = 2
"""1 had no lines of short pieces in its fingerprints."""


class BaseError(UserError):
    """A dataset from which no other can be made, or not so."""


class Kept(TypedDict):
    """What scan/job.json says."""

    format: int
    ostinato: str
    settings: str
    """Of the scan of the last job; see `Job.settings`."""
    removed: list[tuple[str, int]]
    """Patterns, each with the number of the last unit that it is about."""
    settings_by_unit: dict[str, str]
    """Those of each unit; of the units that the last job has read earlier versions do not have them."""


class Input(TypedDict):
    """A line of pieces.jsonl, duplicates.jsonl or rejects.jsonl, as far as it is read here."""

    path: str


class Piece(Input):
    """A line of pieces.jsonl."""

    split: str


class Duplicate(Input):
    """A line of duplicates.jsonl."""

    kept: str


class Base(NamedTuple):
    """What a job has to know of the dataset that it goes out from."""

    folder: str
    fingerprint: str
    made_from: list[MadeFrom]
    """The manifest's entry of that name, with this dataset as the last one."""
    settings: dict[int, str]
    """Of the scan, by units; all of them."""
    removed: tuple[tuple[str, int], ...]
    codec: dict[str, Any]
    """As the manifest has it."""

    @property
    def last_unit(self) -> int:
        return max(self.settings, default=-1)


def open_base(folder: str, version: str, remove: Sequence[str]) -> tuple[Base, PrepareConfig]:
    """Returns a dataset and how it was prepared.

    Args:
        folder: of the dataset.
        version: of ostinato.
        remove: patterns of the names of inputs that are to be left out from now on.

    Raises:
        BaseError: it has not kept what was found, or another version has found it; or it has no such inputs.
        UserError: it is no dataset, or damaged.
    """
    with _documents(folder, FILE, f"{FOLDER}/{DESCRIPTION}") as here:
        manifest = read_manifest(here)
        path = Path(here, FOLDER, DESCRIPTION)
        if not path.is_file():
            raise BaseError(f"{folder}: was prepared without --keep-scan; prepare it once more with that")
        kept = read_document(path, Kept, error=BaseError)
    if kept["format"] != FORMAT:
        where = files.join(folder, FOLDER, DESCRIPTION)
        raise BaseError(f"{where}: has format {kept['format']}, this version reads {FORMAT}; prepare the dataset again")
    if kept["ostinato"] != version:
        raise BaseError(
            f"{folder}: was prepared by ostinato {kept['ostinato']!a:.40}, this is {version}; prepare again"
        )
    stems = [Path(path).stem for path in files.list_files(files.join(folder, FOLDER, "units"))]
    numbers = sorted({int(stem) for stem in (*stems, *kept["settings_by_unit"]) if stem.isdecimal()})
    if not numbers:
        raise BaseError(f"{folder}: what it says of its units is missing or damaged; prepare it again")
    settings = {number: kept["settings_by_unit"].get(str(number), kept["settings"]) for number in numbers}
    _check_removed(folder, remove)
    pieces = {split: found["pieces"] for split, found in manifest["splits"].items()}
    this: MadeFrom = {"fingerprint": manifest["fingerprint"], "removed": list(remove), "pieces": pieces}
    base = Base(
        folder=folder,
        fingerprint=manifest["fingerprint"],
        made_from=[*manifest.get("made_from", []), this],
        settings=settings,
        removed=(*((p, n) for p, n in kept["removed"]), *((pattern, max(numbers, default=-1)) for pattern in remove)),
        codec=manifest["codec"],
    )
    return base, _config_of(manifest, folder)


def check_config(config: PrepareConfig, base: PrepareConfig) -> None:
    """Refuses settings that are neither the defaults nor those of the base.

    Raises:
        BaseError: it lists them.
    """
    now, then, default = asdict(config), asdict(base), asdict(PrepareConfig())
    others = [f"{name} {now[name]}, not {then[name]}" for name in now if now[name] not in (then[name], default[name])]
    if others:
        raise BaseError(f"--from keeps the settings of its dataset; asked for are {'; '.join(others)}")


def removal(removed: Sequence[tuple[str, int]], unit: int) -> Callable[[str], bool]:
    """Returns the function that tells whether an input of a unit is left out, by its name."""
    folders = [pattern.rstrip("/") for pattern, last in removed if unit <= last]
    patterns = [(folder, folder.replace("[", "[[]")) for folder in folders if folder]

    def is_removed(name: str) -> bool:
        return any(
            fnmatch.fnmatchcase(name, pattern) or name.startswith((f"{folder}/", f"{folder}!", f"{folder}#"))
            for folder, pattern in patterns
        )

    return is_removed


def read_splits(folder: str) -> dict[str, str]:
    """Returns the split in which each input of a dataset is, duplicates in that of what was kept of them."""
    with _documents(folder, "pieces.jsonl", "duplicates.jsonl") as here:
        found = {line["path"]: line["split"] for line in read_lines(here / "pieces.jsonl", Piece, error=BaseError)}
        for line in read_lines(here / "duplicates.jsonl", Duplicate, error=BaseError):
            if line["kept"] in found:
                found[line["path"]] = found[line["kept"]]
    return found


def _check_removed(folder: str, patterns: Sequence[str]) -> None:
    """Refuses patterns that name no input of a dataset."""
    unused = {pattern: removal([(pattern, 0)], 0) for pattern in patterns}
    for name in ("pieces", "duplicates", "rejects") if patterns else ():
        with _documents(folder, f"{name}.jsonl") as here:
            for line in read_lines(here / f"{name}.jsonl", Input, error=BaseError):
                unused = {pattern: names for pattern, names in unused.items() if not names(line["path"])}
    if unused:
        raise BaseError(f"--remove {' '.join(unused)}: names no input of {folder}; pieces.jsonl there has the names")


@contextlib.contextmanager
def _documents(folder: str, *names: str) -> Iterator[Path]:
    """Yields a folder on this machine with these files of a dataset: its own, or copies of those in a store."""
    if not files.is_remote(folder):
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="ostinato-") as copies:
        for name in names:
            if files.is_file(files.join(folder, name)):
                files.copy_file(files.join(folder, name), f"{copies}/{name}")
        try:
            yield Path(copies)
        except UserError as error:
            raise BaseError(str(error).replace(copies, folder)) from error


def _config_of(manifest: Manifest, folder: str) -> PrepareConfig:
    values = check_document(manifest.get("prepare"), dict[str, Any], where=f"{folder}: prepare", error=BaseError)
    try:
        codec = CodecConfig(**values["codec"])
        values = {"bars": "written", **values}  # as before there was a choice
        return PrepareConfig(**{**values, "codec": codec, "split": tuple(values["split"])})
    except (TypeError, KeyError) as error:
        raise BaseError(f"{folder}: was prepared by another version ({error!a:.100}); prepare it again") from error
