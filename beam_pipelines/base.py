"""A dataset that others are made from: it has kept what the scan found in its inputs, so that these are not read again.

    DATASET/scan/job.json       which version found it, for which settings, and what was removed since
    DATASET/scan/units/         what was read
    DATASET/scan/scanned/       spools: the packed pieces, also of duplicates, and the fingerprints

That is the work folder of its job (`work`). How the inputs are divided into units shows there, and nowhere else.
"""

import fnmatch
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from ostinato.beam_pipelines.inputs.stores import is_remote
from ostinato.configs.documents import check_document, read_document, read_lines
from ostinato.configs.errors import UserError, file_errors
from ostinato.configs.schema import CodecConfig, PrepareConfig
from ostinato.data.manifest import MadeFrom, Manifest, read_manifest

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
    """Of the scan, for each unit that has others than the last job; see `Job.settings`."""
    removed: list[tuple[str, int]]
    """Patterns, each with the number of the last unit that it is about."""
    settings_by_unit: dict[str, str]


class Piece(TypedDict):
    """A line of pieces.jsonl, as far as it is read here."""

    path: str
    split: str


class Duplicate(TypedDict):
    """A line of duplicates.jsonl, as far as it is read here."""

    path: str
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
        BaseError: it has not kept what was found, or another version has found it.
        UserError: it is no dataset, or damaged.
    """
    if is_remote(folder):
        raise BaseError(f"{folder}: copy the dataset to this machine first")
    manifest = read_manifest(Path(folder))
    path = Path(folder, FOLDER, DESCRIPTION)
    if not path.is_file():
        raise BaseError(f"{folder}: was prepared without --keep-scan; prepare it once anew with that")
    kept = read_document(path, Kept, error=BaseError)
    if kept["format"] != FORMAT:
        raise BaseError(f"{path}: has format {kept['format']}, this version reads {FORMAT}; prepare the dataset anew")
    if kept["ostinato"] != version:
        raise BaseError(f"{folder}: was prepared by ostinato {kept['ostinato']!a:.40}, this is {version}; prepare anew")
    units = Path(folder, FOLDER, "units")
    with file_errors(units):
        numbers = sorted(int(path.stem) for path in units.iterdir() if path.stem.isdecimal())
    settings = {number: kept["settings_by_unit"].get(str(number), kept["settings"]) for number in numbers}
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
    patterns = [pattern.rstrip("/") for pattern, last in removed if unit <= last]

    def is_removed(name: str) -> bool:
        return any(
            fnmatch.fnmatchcase(name, pattern) or (name.startswith(pattern) and name[len(pattern)] in "/!#")
            for pattern in patterns
        )

    return is_removed


def read_splits(folder: str) -> dict[str, str]:
    """Returns the split in which each input of a dataset is, duplicates in that of what was kept of them."""
    found = {line["path"]: line["split"] for line in read_lines(Path(folder, "pieces.jsonl"), Piece, error=BaseError)}
    for line in read_lines(Path(folder, "duplicates.jsonl"), Duplicate, error=BaseError):
        if line["kept"] in found:
            found[line["path"]] = found[line["kept"]]
    return found


def link_tree(source: Path, target: Path, ending: str) -> None:
    """Gives the files of a folder that have an ending a second name; copies them where the system cannot."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.name.endswith(ending) and not path.name.startswith("."):
            try:
                os.link(path, target / path.name)
            except OSError:  # another disk, or a file system without links
                shutil.copyfile(path, target / path.name)


def _config_of(manifest: Manifest, folder: str) -> PrepareConfig:
    values = check_document(manifest.get("prepare"), dict[str, Any], where=f"{folder}: prepare", error=BaseError)
    try:
        codec = CodecConfig(**values["codec"])
        return PrepareConfig(**{**values, "codec": codec, "split": tuple(values["split"])})
    except (TypeError, KeyError) as error:
        raise BaseError(f"{folder}: was prepared by another version ({error!a:.100}); prepare anew") from error
