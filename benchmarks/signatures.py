"""Whether key signatures in MIDI files say what the music is in: against the finder of training, and against music21's.

    pip install -e '.[demo]'
    python -m ostinato.benchmarks.signatures FOLDER...

For the files of each folder that have a key signature: how many of them name C major, which is also what programs write
where nobody chose; how often the first signature, the finder and two rules that combine them name the key that music21
hears, which neither of them uses. `where near` takes the signature where its profile is hardly farther from what
sounds than the nearest one; `but C` does so only where it is not C major.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.benchmarks.asked import heard_key as heard_by_music21
from ostinato.music import midi
from ostinato.music.keys import Key, heard_key, key_margin

_NEAR = 0.005
"""By how much farther; the margin that counts as clear in generation is 0.02."""


def signatures(path: Path) -> list[Key]:
    """Returns the keys that a MIDI file names, in order of time."""
    from symusic import Score

    score: Any = Score(path)
    found = sorted(score.key_signatures, key=lambda one: one.time)
    return [Key((7 * one.key + 9 * one.tonality) % 12, bool(one.tonality)) for one in found]


def _named(folder: Path, num_files: int) -> Iterator[tuple[Key | None, bool, Path]]:
    """Yields the first key that a file names, whether it names others, and the file; the files in an even sample."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    for number in np.unique(np.linspace(0, len(files) - 1, min(num_files, len(files))).astype(int)):
        try:
            keys = signatures(files[number])
        except (RuntimeError, ValueError):  # what symusic raises of a damaged file: such have no signature
            keys = []
        yield keys[0] if keys else None, len(set(keys)) > 1, files[number]


def _share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.0%} of {len(values)}" if values else "none"


def main() -> None:
    """Prints a line for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--files", type=int, default=2000, help="of each folder that are looked at")
    parser.add_argument("--heard", type=int, default=60, help="of each folder that music21 hears")
    given = parser.parse_args()
    for folder in given.folders:
        files = list(_named(folder, given.files))
        named = [(key, path) for key, _, path in files if key is not None]
        names_c = [key == Key(0, False) for key, _ in named]
        print(f"{folder.name}: with a signature {_share([key is not None for key, _, _ in files])}, ", end="")
        print(f"of these C major {_share(names_c)}, several keys {_share([s for k, s, _ in files if k is not None])}")
        agree: dict[str, list[bool]] = {}
        for number in np.unique(np.linspace(0, len(named) - 1, min(given.heard, len(named))).astype(int)):
            key, path = named[number]
            piece = midi.read(path.read_bytes())
            truth, found = heard_by_music21(piece), heard_key(piece)
            if truth is None or found is None:  # drums alone
                continue
            is_near = key_margin(piece, key) > -_NEAR
            is_c = key == Key(0, False)
            choices = {
                "signature": key,
                "finder": found,
                "where near": key if is_near else found,
                "but C": key if is_near and not is_c else found,
            }
            for name, choice in choices.items():
                agree.setdefault(name, []).append(choice == truth)
            agree.setdefault("signature other than C" if not is_c else "signature C", []).append(key == truth)
            agree.setdefault("accidentals of the signature", []).append(key.num_sharps == truth.num_sharps)
            agree.setdefault("accidentals of the finder", []).append(found.num_sharps == truth.num_sharps)
        for name, values in agree.items():
            print(f"  {name}: as music21 hears it {_share(values)}", flush=True)


if __name__ == "__main__":
    main()
