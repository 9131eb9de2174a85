"""How much of a piece is copied from the training set, beside how much human pieces share with it.

Every line of a piece (all notes, top, bottom, the top of each instrument) is looked for in every line of the training
pieces, in any key and at any tempo. What this cannot see: a melody in an inner voice of one instrument, a copy with
ornaments or other notes between, another rhythm to the same pitches, and music played freely, where no two steps in
time have a plain ratio. What a sampler was given to continue is a copy of course: leave primers out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ostinato.configs.errors import UserError
from ostinato.evaluation.excerpts import cut_alike, median_notes
from ostinato.evaluation.memorization.index import CopyIndex, LineMatches
from ostinato.evaluation.memorization.symbols import TEXTURE
from ostinato.music.piece import Piece

NGRAM_NOTES = (4, 6, 8, 12, 16, 24, 32)

MOST_TELLING = 10
"""So many copies are named."""


def originality(index: CopyIndex, pieces: Sequence[Piece]) -> dict[str, Any]:
    """Returns what the pieces share with the corpus of the index, ready for JSON.

    `longest_notes` and `most_bits`: of the longest run of each piece, and of the one that is the least likely as such
    (of a piece with only repeated notes both are long, but few bits). `ngrams`: the mean over pieces of the share of
    their runs of n notes that are also in the corpus, for all notes together (`texture`) and for the melodies (all
    other lines). `copies`: the least probable ones, with piece and place.

    Raises:
        UserError: there are no pieces.
    """
    if not pieces:
        raise UserError("no pieces were given whose originality could be measured")
    longest, telling, shares = [], [], {"texture": [], "melody": []}
    for number, piece in enumerate(pieces):
        matches = index.matches(piece)
        longest.append(index.longest(piece, matches).num_notes)
        telling.append((index.most_telling(piece, matches), number))
        textures = [match for match in matches if match.line.name == TEXTURE]
        # A piece of one voice has one line, which is both.
        melodies = [match for match in matches if match.line.name != TEXTURE] or textures
        shares["texture"].append(_shares(textures))
        shares["melody"].append(_shares(melodies))
    named = sorted(telling, key=lambda found: -found[0].bits)[:MOST_TELLING]
    return {
        "pieces": len(pieces),
        "median_notes": median_notes(pieces),
        "longest_notes": _summary(np.array(longest)),
        "most_bits": _summary(np.array([copy.bits for copy, _ in telling])),
        "ngrams": {
            line: {str(n): _mean(column) for n, column in zip(NGRAM_NOTES, np.array(rows).T, strict=True)}
            for line, rows in shares.items()
        },
        "copies": [
            {"piece": number, **copy._asdict(), "stretch": copy.stretch} for copy, number in named if copy.num_notes
        ],
    }


def compare_originality(index: CopyIndex, generated: Sequence[Piece], held_out: Sequence[Piece]) -> dict[str, Any]:
    """Returns `originality` of generated and of held-out human pieces, and how many generated ones stand out.

    `beyond_human`: the share of generated pieces whose least probable run has more bits than those of 95 % of the human
    pieces; 0.05 is ordinary. Pieces are cut so that none is longer than the longest of the other set.
    """
    generated, held_out = cut_alike(generated, held_out)
    ours, theirs = originality(index, generated), originality(index, held_out)
    limit = np.quantile(theirs["most_bits"]["values"], 0.95)
    return {
        "corpus": {key: index.description[key] for key in ("pieces", "notes", "fingerprint")},
        "generated": ours,
        "held_out": theirs,
        "beyond_human": float((np.array(ours["most_bits"]["values"]) > limit).mean()),
        "human_limit_bits": float(limit),
    }


def _shares(matches: Sequence[LineMatches]) -> list[float]:
    """Returns for each n the share of runs of n notes that are in the corpus; NaN where there is none so long."""
    shares = []
    for n in NGRAM_NOTES:
        # A line has one match fewer than notes, so n - 2 of them begin no run of n notes.
        whole = [match.notes[: max(0, len(match.notes) - (n - 2))] >= n for match in matches]
        found = np.concatenate([np.zeros(0, np.bool_), *whole])
        shares.append(float(found.mean()) if len(found) else np.nan)
    return shares


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _summary(values: np.ndarray) -> dict[str, Any]:
    figures = {"mean": values.mean(), "median": np.median(values), "largest": values.max()}
    return {**{name: float(value) for name, value in figures.items()}, "values": values.tolist()}
