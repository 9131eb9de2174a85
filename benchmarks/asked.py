"""Whether a model does what is asked of it: keys, as another finder hears them, and ends in the bars asked for.

    pip install -e '.[demo]'
    python -m ostinato.benchmarks.asked RUN DATASET

The key of a piece is heard by music21 (Krumhansl's method with the weights of Aarden and Essen), which no training
uses; how often it agrees with the finder of training on real pieces is shown beside it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.configs.schema import SampleConfig
from ostinato.data.records import Dataset
from ostinato.launch.cache import load_run
from ostinato.music.cadence import ends_on_chord
from ostinato.music.keys import Key, key_of_number, key_value
from ostinato.music.piece import DRUMS, Piece
from ostinato.sample.generate import generate

TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MOST_NOTES = 600
"""Of a real piece; music21 takes seconds for longer ones."""


def heard_key(piece: Piece) -> Key | None:
    """Returns the key that music21 finds; None where it finds none."""
    from music21 import note, stream
    from music21.analysis.discrete import DiscreteAnalysisException

    heard = stream.Stream()
    for onset, duration, pitch, _, program in np.array(piece.notes).T[:_MOST_NOTES].tolist():
        if program < DRUMS:
            quarters = duration / piece.ticks_per_quarter
            heard.insert(onset / piece.ticks_per_quarter, note.Note(pitch, quarterLength=quarters))
    try:
        key: Any = heard.analyze("key")
    except DiscreteAnalysisException:
        return None
    return Key(key.tonic.pitchClass, key.mode == "minor")


def _share(values: Sequence[bool]) -> str:
    return f"{np.mean(values):.2f} of {len(values)}"


def main() -> None:
    """Prints the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--pieces", type=int, default=8, help="in each key; six times as many of each length")
    parser.add_argument("--bars", type=int, nargs="+", default=[8, 16])
    given = parser.parse_args()
    run, source = load_run(given.run, "best"), Dataset.open(given.dataset).source("test")
    real = [source[i].steps for i in range(min(len(source), 60))]

    agree = [key_value(heard_key(run.codec.decode(steps))) == run.codec.keys_of(steps)[0] for steps in real]
    print(f"real pieces, in one key by both finders: {_share(agree)}")
    for name, numbers in (("major", range(12)), ("minor", range(12, 24))) if run.config.model.key_condition else ():
        found = []
        for number in numbers:
            key = key_of_number(number)
            config = SampleConfig(num_pieces=given.pieces, num_bars=12, key=f"{TONICS[key.tonic]} {name}", seed=number)
            pieces = generate(run.model, run.params, run.codec, config)
            found += [heard_key(run.codec.decode(piece.steps)) == key for piece in pieces]
        print(f"{name} keys that are heard as asked for: {_share(found)}")

    closing = [ends_on_chord(run.codec.decode(steps)) for steps in real]
    print(f"real pieces that end on a long consonant chord: {_share(closing)}")
    for bars in (0, *given.bars):
        for ending in (True, False) if bars else (True,):
            config = SampleConfig(num_pieces=6 * given.pieces, num_bars=bars, ending=ending, seed=5)
            pieces = generate(run.model, run.params, run.codec, config)
            closing = [ends_on_chord(run.codec.decode(piece.steps)) for piece in pieces]
            ended = [piece.ended for piece in pieces]
            what = f"{bars} bars" + ("" if ending else ", cut") if bars else "no length asked for"
            print(f"{what}: ended by the model {_share(ended)}, on such a chord {_share(closing)}")


if __name__ == "__main__":
    main()
