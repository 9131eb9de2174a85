"""What a long benchmark has found so far, a file for each part of it: the same command goes on from there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically


def kept(file: Path, settings: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns what a file keeps, or makes it and writes the file.

    Args:
        file: in a folder that is there by the time that it is made.
        settings: what it depends on, ready for JSON.
        make: returns it, ready for JSON.

    Raises:
        UserError: what is kept was made with other settings.
    """
    if file.exists():
        found = json.loads(file.read_text())
        if found["key"] == json.loads(json.dumps(settings)):
            return found["outcome"]
        raise UserError(f"{file.parent}: was made with other settings; choose another --output")
    outcome = make()
    write_atomically(file, json.dumps({"key": settings, "outcome": outcome}).encode())
    return outcome
