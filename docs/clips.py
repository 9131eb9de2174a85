"""The clips that the README links: the first piece that a seed gives, of two models in the box.

python -m ostinato.docs.clips        # in a checkout; writes docs/*.ogg
"""

from pathlib import Path

from ostinato.api.model import load

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Writes both."""
    chorale = load("chorales").sample(num_pieces=1, bars=8, key="D minor", meter="4/4", tempo=84, seed=1)
    chorale[0].save(FOLDER / "chorale.ogg")
    pop = load("pop").sample(num_pieces=1, bars=12, meter="4/4", tempo=92, seed=1)
    pop[0].save(FOLDER / "pop.ogg")


if __name__ == "__main__":
    main()
