"""The results of `benchmarks.gpu`: a line of JSON for each, on disk at once.

One file for all, since a machine that is lent may hand back only few.
"""

import json
import os
from pathlib import Path
from typing import Any

FILE = "results.jsonl"


def append(output: Path, record: dict[str, Any]) -> None:
    """Adds a line to the results of a folder. It is on disk when this returns."""
    with open(output / FILE, "a") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(output: Path) -> list[dict[str, Any]]:
    """Returns all results of a folder; of a line that was cut, the beginning."""
    path = output / FILE
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            found.append({"stage": "", "kind": "unreadable", "line": line[:200]})
    return found
