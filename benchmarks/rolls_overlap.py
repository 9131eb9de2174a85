"""Whether training on transposed piano rolls could give the test split away, as the same pieces in other keys.

    python -m ostinato.benchmarks.rolls_overlap --data FOLDER [--fit]

Shows how many test pieces share windows of eight frames with training pieces, in the same key and in any. --fit trains
the model of column A (JSB only, some minutes) and scores it also without the test pieces that share any.
"""

import argparse
from pathlib import Path

from ostinato.benchmarks.prepared import console, make_table
from ostinato.benchmarks.rolls.fit import fit
from ostinato.benchmarks.rolls.model import measure
from ostinato.benchmarks.rolls.overlap import shared_windows
from ostinato.benchmarks.rolls.read import FILES, Rolls, read_rolls
from ostinato.benchmarks.rolls.recipes import RECIPES

WINDOW_FRAMES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    arguments = parser.parse_args()
    table = make_table(
        f"Test pieces and the windows of {WINDOW_FRAMES} frames that they share with training pieces",
        ["", "pieces", "share any", "the same key, mean share", "any key, mean share"],
    )
    sets = {name: read_rolls(arguments.data, name) for name in FILES}
    any_key: dict[str, list[float]] = {}
    for name, rolls in sets.items():
        same = shared_windows(rolls.test, rolls.train, WINDOW_FRAMES, any_key=False)
        any_key[name] = shares = shared_windows(rolls.test, rolls.train, WINDOW_FRAMES, any_key=True)
        sharing = sum(share > 0 for share in shares)
        means = (f"{sum(values) / len(values):.3f}" for values in (same, shares))
        table.add_row(name, str(len(shares)), str(sharing), *means)
    console.print(table)
    if arguments.fit:
        _fit_and_score(sets["jsb"], any_key["jsb"])


def _fit_and_score(rolls: Rolls, shares: list[float]) -> None:
    recipe = RECIPES["jsb", "frame"]
    fitted = fit(rolls, recipe, seed=0)
    alone = [piece for piece, share in zip(rolls.test, shares, strict=True) if not share]
    score = measure(fitted.params, alone, recipe)
    console.print(
        f"JSB, seed 0: {fitted.test.nats_per_frame:.3f} nats a frame on all {len(shares)} test pieces, "
        f"{score.nats_per_frame:.3f} on the {len(alone)} that share no window"
    )


if __name__ == "__main__":
    main()
