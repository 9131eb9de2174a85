"""What the user knows about the files: a CSV or JSON lines file of path, style, split, group and any others."""

import csv
import functools
import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.places import printable
from ostinato.configs.errors import UserError
from ostinato.data.records import SPLITS


class LabelsError(UserError):
    """A file of labels that cannot be used."""


class Label(NamedTuple):
    """What a line says of one input."""

    style: str = ""
    split: str = ""
    """One of SPLITS, or empty where the split is left to the hash."""
    metadata: str = ""
    """The further columns as a JSON object; empty where there are none."""
    group: str = ""
    """Inputs with the same name share a split, those with different ones need not; empty where that is found out."""


class Labels(NamedTuple):
    """All lines of a file."""

    by_path: dict[str, Label]
    columns: tuple[str, ...]

    def find(self, *names: str) -> Label | None:
        """Returns the label of the first of an input's names that the file knows."""
        return next((self.by_path[name] for name in names if name in self.by_path), None)


@functools.lru_cache(maxsize=1)
def load_labels(path: str) -> Labels:
    """Reads a file of labels; each worker process does so once.

    Args:
        path: ends in .csv (with a line of column names) or .jsonl. The column `path` is required: the path of an input
            relative to the folder or archive that was given to prepare, or its whole name as pieces.jsonl writes it.

    Raises:
        LabelsError: another ending, no column `path`, an unknown split, or two lines about one path.
    """
    # Bytes that are not UTF-8 become \xff, as in the names of inputs; see `printable`.
    text = io.StringIO(files.read_bytes(path).decode("utf-8-sig", errors="backslashreplace"))
    readers = {".csv": _read_csv, ".jsonl": _read_json_lines}
    ending = next((ending for ending in readers if path.lower().endswith(ending)), None)
    if ending is None:
        raise LabelsError(f"{path}: must end in .csv or .jsonl")
    by_path: dict[str, Label] = {}
    columns: dict[str, None] = {}
    for line, row in readers[ending](path, text):
        name = printable(str(row.pop("path", None) or ""))
        if not name:
            raise LabelsError(
                f"{path}, line {line}: no column 'path' with a value (others: {', '.join(row) or 'none'})"
            )
        if name in by_path:
            raise LabelsError(f"{path}, line {line}: a second line about {name}")
        columns.update(dict.fromkeys(row))
        split = str(row.pop("split", None) or "")
        if split not in ("", *SPLITS):
            raise LabelsError(f"{path}, line {line}: split {split!r} is not one of {', '.join(SPLITS)}")
        style = printable(str(row.pop("style", None) or ""))
        metadata = {key: value for key, value in row.items() if value not in ("", None)}
        group = printable(str(row.get("group") or ""))
        by_path[name] = Label(style, split, json.dumps(metadata, sort_keys=True) if metadata else "", group)
    if not by_path:
        raise LabelsError(f"{path}: holds no labels")
    return Labels(by_path, tuple(columns))


def _read_csv(path: str, text: io.StringIO) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(text, restkey="", strict=True)  # strict: a quotation that never ends is no value
    try:
        for row in reader:
            if "" in row:
                raise LabelsError(f"{path}, line {reader.line_num}: more values than columns")
            yield reader.line_num, row
    except csv.Error as error:
        raise LabelsError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _read_json_lines(path: str, text: io.StringIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text, start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise LabelsError(f"{path}, line {line}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise LabelsError(f"{path}, line {line}: must be a JSON object, not {type(row).__name__}")
        yield line, row


def _refuse(constant: str) -> None:
    raise UserError(f"{constant} is no number of JSON")
