"""Reading scores as prepare does, in a child process with limits: files per second of CPU time, by format.

    python -m ostinato.benchmarks.notation [--files 100]

The files are an even sample of what music21 carries (the extra `demo`): Bach's chorales as MusicXML, Palestrina as
**kern, and the tunes of its ABC books, each of which is a piece. CPU time is that of both processes and of abc2midi,
the start of the child included. Some minutes on one core.
"""

import importlib
import importlib.util
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

from ostinato.beam_pipelines.isolation import IsolatedPool, Killed
from ostinato.beam_pipelines.parse import Parsed, ToParse, parse_input
from ostinato.configs.errors import UserError
from ostinato.configs.preparation import PrepareConfig
from ostinato.launch.commands.show import print_table
from ostinato.music.abc import split_tunes
from ostinato.music.notation import KINDS

GLOBS = {"MusicXML": "bach/*.mxl", "kern": "**/*.krn", "ABC": "**/*.abc"}
CONFIG = PrepareConfig()


@dataclass(frozen=True, kw_only=True)
class Options:
    files: int = 100
    """Of each format; tunes, for ABC."""


def main(options: Options) -> None:
    """Reads the files and prints a table."""
    spec = importlib.util.find_spec("music21")
    if not spec or not spec.submodule_search_locations:
        raise UserError("needs music21: pip install 'ostinato[demo]'")
    corpus = Path(spec.submodule_search_locations[0], "corpus")
    rows = []
    for name, pattern in GLOBS.items():
        items = [item for path in sorted(corpus.glob(pattern)) for item in _items(path)]
        items = items[:: max(1, len(items) // options.files)][: options.files]
        before_s = _cpu_s()
        found = list(IsolatedPool(1).imap(_parse, items, size=lambda item: len(item.data)))
        spent = [one[1] for one in found if not isinstance(one, Killed)]
        num_read = sum(not isinstance(one, Killed) and one[0] for one in found)
        cpu_s = max(spent) + _cpu_s() - before_s
        rows.append([name, str(len(items)), str(num_read), f"{len(items) / cpu_s:.1f}"])
    print_table("reading scores", ["format", "files", "read", "files per CPU second"], rows)


def _items(path: Path) -> Iterator[ToParse]:
    kind = KINDS[path.suffix]
    data = path.read_bytes()
    for part in split_tunes(data) if kind == "abc" else [data]:
        yield ToParse(part, kind)


def _parse(item: ToParse) -> tuple[bool, float]:
    """Returns whether it could be used, and the CPU seconds of this child so far; runs in it."""
    parsed = parse_input(item, CONFIG)
    return isinstance(parsed, Parsed), _cpu_s() + _cpu_s(resource.RUSAGE_CHILDREN)


def _cpu_s(whose: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    # Children look for functions in modules, and know no __main__.
    importlib.import_module("ostinato.benchmarks.notation").main(tyro.cli(Options))
