"""Commands that are measured with all processes that they start, and where the alternatives' libraries are (Linux)."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "alternatives"
"""May hold an environment for each library that is not installed here."""

KEEP_ALL = ("--duplicates", "keep", "--min-notes", "1")
"""What `prepare` is compared with writes every file, so that it does too; its time to find duplicates counts."""


_MEASURED = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024], file)
sys.exit(code)
"""
"""A small process that starts the command: Linux counts for a process the memory of the one that it was forked from."""


class Cost(NamedTuple):
    """What a command took."""

    cpu_s: float
    """User and system time of it and of all processes that were waited for."""
    wall_s: float
    peak_mb: float
    """Resident memory of the largest process."""
    output: str
    """What was written to standard output."""


class Prepared(NamedTuple):
    """What a run of `ostinato prepare` took and what came out."""

    cost: Cost
    manifest: dict[str, Any]
    rejected: set[str]
    """Paths."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Runs a command to its end, in this process's environment or another.

    Raises:
        RuntimeError: it failed; with the end of what it wrote to standard error.
    """
    with tempfile.NamedTemporaryFile() as used:
        start_s = time.monotonic()
        measured = [sys.executable, "-c", _MEASURED, used.name, *command]
        done = subprocess.run(
            measured, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
        )
        wall_s = time.monotonic() - start_s
        if done.returncode:
            last = done.stderr[-2000:]
            raise RuntimeError(f"{' '.join(command)[:300]}: exit code {done.returncode}\n{last}")
        cpu_s, peak_mb = json.load(used)
    return Cost(cpu_s, wall_s, peak_mb, done.stdout)


def prepare(inputs: Sequence[Path], output: Path, *options: str) -> Prepared:
    """Runs `ostinato prepare` in processes of its own and removes the dataset."""
    ostinato = str(Path(sys.executable).with_name("ostinato"))
    cost = run([ostinato, "prepare", "--midi", *map(str, inputs), "--output", str(output), *options])
    manifest = json.loads((output / "manifest.json").read_text())
    rejected = {json.loads(line)["path"] for line in (output / "rejects.jsonl").read_text().splitlines()}
    shutil.rmtree(output)
    return Prepared(cost, manifest, rejected)


def find_python(module: str) -> tuple[str, str]:
    """Returns an interpreter that can import the module, or nothing and why not."""
    reason = ""
    for python in (ENVIRONMENTS / module / "bin" / "python", Path(sys.executable)):
        if python.exists():
            done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
            if not done.returncode:
                return str(python), ""
            reason = done.stderr.strip().splitlines()[-1]
    return "", reason
