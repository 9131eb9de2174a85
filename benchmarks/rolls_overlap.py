"""Whether training on transposed piano rolls could give the test split away, as the same pieces in other keys.

    python -m ostinato.benchmarks.rolls_overlap --data FOLDER [--fit]

Shows how many test pieces share windows of eight frames with training pieces, in the same key and in any. --fit trains
the model of column A (JSB only, some minutes) and scores it also without the test pieces that share any.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from ostinato.benchmarks.rolls.fit import fit
from ostinato.benchmarks.rolls.model import measure
from ostinato.benchmarks.rolls.read import FILES, Roll, Rolls, read_rolls
from ostinato.benchmarks.rolls.recipes import RECIPES
from ostinato.launch.commands.show import print_table, say

WINDOW_FRAMES = 8

_Window = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path
    """The folder of the piano rolls."""
    fit: bool = False
    """Train the model of JSB's column A, too."""


def main(options: Options) -> None:
    """Prints a table, and the scores if they are asked for."""
    sets = {name: read_rolls(options.data, name) for name in FILES}
    rows = []
    for name, rolls in sets.items():
        same, any_key = (shared_windows(rolls.test, rolls.train, any_key=any_key) for any_key in (False, True))
        sharing = sum(share > 0 for share in any_key)
        rows.append([name, str(len(any_key)), str(sharing), *(f"{np.mean(shares):.3f}" for shares in (same, any_key))])
    print_table(
        f"Test pieces and the windows of {WINDOW_FRAMES} frames that they share with training pieces",
        ["", "pieces", "share any", "the same key, mean share", "any key, mean share"],
        rows,
    )
    if options.fit:
        _fit_and_score(sets["jsb"])


def _fit_and_score(rolls: Rolls) -> None:
    recipe = RECIPES["jsb", "frame"]
    fitted = fit(rolls, recipe, seed=0)
    shares = shared_windows(rolls.test, rolls.train, any_key=True)
    alone = [piece for piece, share in zip(rolls.test, shares, strict=True) if not share]
    score = measure(fitted.params, alone, recipe)
    say(
        f"JSB, seed 0: {fitted.test.nats_per_frame:.3f} nats a frame on all {len(shares)} test pieces, "
        f"{score.nats_per_frame:.3f} on the {len(alone)} that share no window"
    )


def shared_windows(
    pieces: Sequence[Roll], others: Sequence[Roll], num_frames: int = WINDOW_FRAMES, *, any_key: bool
) -> list[float]:
    """Returns for each piece which share of its windows of `num_frames` frames occurs in one of the others.

    With `any_key` a transposed window is the same one. A piece that is shorter than a window shares 0.
    """
    seen = {window for piece in others for window in _windows(piece, num_frames, any_key=any_key)}
    found = ([window in seen for window in _windows(piece, num_frames, any_key=any_key)] for piece in pieces)
    return [sum(one) / max(len(one), 1) for one in found]


def _windows(piece: Roll, num_frames: int, *, any_key: bool) -> Iterator[_Window]:
    frames = [np.flatnonzero(frame).tolist() for frame in piece]
    for start in range(len(frames) - num_frames + 1):
        window = frames[start : start + num_frames]
        # The lowest key of the first frame that is not silent moves with the music.
        origin = next((keys[0] for keys in window if keys), 0) if any_key else 0
        yield tuple(tuple(key - origin for key in keys) for keys in window)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
