"""A collection of any number of distinct files of which it is known what `prepare` should make of them.

    python -m ostinato.benchmarks.growing --files 500000 --output FOLDER

Writes tar archives, and truth.json with what is in them. The bars come from the MIDI files in the zips of `--data`;
versions of a piece are in other archives too. The first files of a larger collection are those of a smaller one with
the same seed.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from ostinato.benchmarks.growing.archives import generate


@dataclass(frozen=True, kw_only=True)
class Options:
    output: Path
    """A new folder."""
    files: int = 10_000
    """In all archives together."""
    data: Path = Path(os.environ.get("OSTINATO_DATA") or "../shared/data")
    """Folder whose `midi/` holds zip archives of MIDI files."""
    seed: int = 0
    """Another seed gives other pieces."""
    processes: int = os.cpu_count() or 1
    """Which work at once; the files do not depend on it."""


if __name__ == "__main__":
    options = tyro.cli(Options, description=__doc__)
    truth = generate(
        sorted((options.data / "midi").glob("*.zip")),
        options.output,
        num_files=options.files,
        seed=options.seed,
        processes=options.processes,
    )
    print(json.dumps(truth, indent=1))
