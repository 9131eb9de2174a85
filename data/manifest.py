"""manifest.json, which says what a dataset holds: its fields, and how it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ostinato.configs.documents import Count, FileName, check_document, inside, read_document
from ostinato.configs.errors import UserError

FILE = "manifest.json"
FORMAT = 1
"""The version of the layout of a dataset; a reader refuses any other."""

_ADVICE = "run 'ostinato prepare' again"


class DatasetError(UserError):
    """A folder that is not a whole, undamaged dataset."""


class ShardEntry(TypedDict):
    """A file of records."""

    file: FileName
    bytes: Count


class SplitEntry(TypedDict):
    """What one split holds."""

    pieces: Count
    steps: Count
    notes: Count
    shards: list[ShardEntry]


class InputCounts(TypedDict):
    """What became of the inputs."""

    inputs: Count
    accepted: Count
    rejected: Count
    duplicates: Count


class LabelCounts(TypedDict):
    """What the labels of the user named."""

    labelled: Count
    moved: Count


class MadeFrom(TypedDict):
    """A dataset from which another one was made."""

    fingerprint: str
    removed: list[str]
    """Patterns of names of inputs that were left out."""
    pieces: dict[FileName, Count]
    """By split."""


class Manifest(TypedDict):
    """The whole document. What is not required older versions did not write, nor does a dataset without a job."""

    format: int
    name: str
    fingerprint: str
    codec: dict[str, Any]
    """See `music.codecs`."""
    splits: dict[FileName, SplitEntry]
    counts: NotRequired[InputCounts]
    rejected_by_reason: NotRequired[dict[str, Count]]
    duplicates_by_kind: NotRequired[dict[str, Count]]
    salvaged: NotRequired[dict[str, Count]]
    by_style: NotRequired[dict[str, dict[str, Count]]]
    notes: NotRequired[dict[str, Count]]
    pieces_with: NotRequired[dict[str, Count]]
    changed: NotRequired[dict[str, Count]]
    not_read: NotRequired[dict[str, Count]]
    groups: NotRequired[Count]
    prepare: NotRequired[dict[str, Any]]
    labels: NotRequired[LabelCounts]
    made_from: NotRequired[list[MadeFrom]]
    """The datasets that this one was made from, one after the other. No piece has changed its split."""


def read_manifest(folder: Path) -> Manifest:
    """Returns what a dataset says of itself.

    Raises:
        DatasetError: the folder is not a finished dataset, of another version, or its manifest is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise DatasetError(f"{folder}: not a finished dataset ({FILE} is missing); run 'ostinato prepare' first")
    found = read_document(path, dict[str, Any], error=DatasetError, advice=_ADVICE)
    if (version := found.get("format")) != FORMAT:
        raise DatasetError(f"{path}: has format {version!a:.60}, this version of ostinato reads {FORMAT}")
    return check_document(found, Manifest, where=path, error=DatasetError, advice=_ADVICE)


def check_shards(folder: Path, manifest: Manifest) -> None:
    """Refuses a dataset of which a shard is missing, has another size, or does not lie in the folder.

    Raises:
        DatasetError: it names the file.
    """
    sizes = {}
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            part = inside(folder, shard["file"], error=DatasetError)
            if part.is_file():
                sizes[shard["file"]] = part.stat().st_size
    check_sizes(str(folder), manifest, sizes)


def check_sizes(folder: str, manifest: Manifest, sizes: Mapping[str, int]) -> None:
    """Refuses a dataset of which a shard is missing or has another size, by the sizes of the files that are there.

    Raises:
        DatasetError: it names the file.
    """
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            size = sizes.get(shard["file"])
            if size != shard["bytes"]:
                found = "is missing" if size is None else f"has {size} bytes"
                raise DatasetError(
                    f"{folder}/{shard['file']}: {found}, the manifest says {shard['bytes']} bytes; prepare it again"
                )
