"""The blocks of a collection as tar archives, and the truth about them."""

import functools
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ostinato.beam_pipelines.isolation import BYTES_PER_BATCH, Killed, Limits, shared_pool
from ostinato.benchmarks.growing.bars import Bars, load_bars
from ostinato.benchmarks.growing.compose import DAMAGES, KINDS, MAX_BLOCK, ORIGINAL, Composed, compose
from ostinato.data.atomic import write_atomically

ARCHIVES_PER_BLOCK = 4
SOURCE_FILES = 1500
"""Real files that give their bars."""
TRUTH = "truth.json"

_LIMITS = Limits(memory_mb=4096, cpu_s=120, wall_s=600)
"""Of a block, which takes two seconds."""


def generate(
    archives: Sequence[Path], folder: Path, *, num_files: int, seed: int = 0, processes: int = 1
) -> dict[str, Any]:
    """Writes a collection to a new folder and returns what is in it, which stands in truth.json too.

    Args:
        archives: of real MIDI files.
        folder: is made.
        num_files: in all archives together.
        seed: of everything that is drawn.
        processes: which work at once.
    """
    folder.mkdir(parents=True)
    bars = load_bars(archives, num_files=SOURCE_FILES)
    blocks = range(0, num_files, MAX_BLOCK)
    sizes = [(number, min(MAX_BLOCK, num_files - begin)) for number, begin in enumerate(blocks)]
    compose_block = functools.partial(_compose_block, bars, seed)
    total: Counter[str] = Counter()
    # Children write no files.
    composed = shared_pool(processes, _LIMITS).imap(compose_block, sizes, size=lambda _: BYTES_PER_BATCH)
    for (block, _), files in zip(sizes, composed, strict=True):
        if isinstance(files, Killed):
            raise RuntimeError(f"block {block} could not be composed: {files.reason} ({files.detail})")
        _write_block(files, folder, block)
        total.update(one.kind for one in files)
        total["notes"] += sum(one.num_notes for one in files)
    reasons: Counter[str] = Counter()
    for kind, (_, reason) in DAMAGES.items():
        reasons[reason] += total[kind]
    truth = {
        "seed": seed,
        "files": num_files,
        "pieces": total[ORIGINAL],
        "notes": total["notes"],
        "kinds": {kind: total[kind] for kind in KINDS},
        "rejected_by_reason": dict(sorted((+reasons).items())),
    }
    write_atomically(folder / TRUTH, (json.dumps(truth, indent=1) + "\n").encode())
    return truth


def _compose_block(bars: Bars, seed: int, size: tuple[int, int]) -> list[Composed]:
    return compose(bars, seed, *size)


def _write_block(files: Sequence[Composed], folder: Path, block: int) -> None:
    with ExitStack() as stack:
        names = [folder / f"{block:05d}-{number}.tar" for number in range(ARCHIVES_PER_BLOCK)]
        tars = [stack.enter_context(path.open("wb")) for path in names]
        for number, one in enumerate(files):
            tars[number % ARCHIVES_PER_BLOCK].write(_member(one))
        for tar in tars:
            tar.write(bytes(2 * tarfile.BLOCKSIZE))


def _member(one: Composed) -> bytes:
    header = tarfile.TarInfo(one.name)
    header.size = len(one.data)
    padding = -len(one.data) % tarfile.BLOCKSIZE
    return header.tobuf(tarfile.USTAR_FORMAT) + one.data + bytes(padding)
