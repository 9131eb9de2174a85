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
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start_s = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)[:300]}: exit code {process.returncode}\n{errors.read()[-2000:]}")
        return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, output.read())


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
