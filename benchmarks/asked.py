"""Whether a model does what is asked of it: keys, as another finder hears them, and ends in the bars asked for.

    pip install -e '.[demo]'
    python -m ostinato.benchmarks.asked RUN [DATASET]

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
from ostinato.music.cadence import closes
from ostinato.music.keys import Key, key_of_number, key_value
from ostinato.music.piece import DRUMS, Piece
from ostinato.sample.generate import generate
from ostinato.train.loaded_run import LoadedRun

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


def _share(values: Sequence[bool] | np.ndarray) -> str:
    return f"{np.mean(values):.2f} of {len(values)}"


def _keys(run: LoadedRun, real: Sequence[np.ndarray], num_pieces: int) -> None:
    """Prints in how many pieces the key that was asked for is heard."""
    agree = [key_value(heard_key(run.codec.decode(steps))) == run.codec.keys_of(steps)[0] for steps in real]
    if agree:
        print(f"real pieces, in one key by both finders: {_share(agree)}")
    for name, numbers in (("major", range(12)), ("minor", range(12, 24))) if run.config.model.key_condition else ():
        found = []
        for number in numbers:
            key = key_of_number(number)
            config = SampleConfig(num_pieces=num_pieces, num_bars=12, key=f"{TONICS[key.tonic]} {name}", seed=number)
            pieces = generate(run.model, run.params, run.codec, config)
            found += [heard_key(run.codec.decode(piece.steps)) == key for piece in pieces]
        print(f"{name} keys that are heard as asked for: {_share(found)}")


def _endings(run: LoadedRun, real: Sequence[np.ndarray], num_pieces: int, lengths: Sequence[int]) -> None:
    """Prints how many pieces end by themselves or close: without a length, and with each of some bars."""
    closing = [closes(run.codec.decode(steps)) for steps in real]
    if closing:
        print(
            f"real pieces that close, on a long consonant chord or, of drums alone, on a final hit: {_share(closing)}"
        )
    for bars in (0, *lengths):
        for ending in (True, False):
            config = SampleConfig(num_pieces=num_pieces, num_bars=bars, ending=ending, seed=5)
            pieces = generate(run.model, run.params, run.codec, config)
            num_notes = [run.codec.count_notes(piece.steps).sum() for piece in pieces]
            closing = np.array([closes(run.codec.decode(piece.steps)) for piece in pieces])
            ended = np.array([piece.ended for piece in pieces])
            what = (f"{bars} bars" if bars else "no length asked for") + ("" if ending else ", cut")
            print(
                f"{what}: ended by the model {_share(ended)}, closing {_share(closing)}, "
                f"one or the other {_share(ended | closing)}",
                *([] if bars else [f", with all notes {_share(np.array(num_notes) >= config.max_notes)}"]),
                sep="",
                flush=True,
            )


def main() -> None:
    """Prints the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run, or the name of a trained model")
    parser.add_argument("dataset", type=Path, nargs="?", help="whose held-out pieces are measured, too")
    parser.add_argument("--what", nargs="+", choices=["keys", "endings"], default=["keys", "endings"])
    parser.add_argument("--pieces", type=int, default=8, help="in each key; six times as many of each length")
    parser.add_argument("--bars", type=int, nargs="*", default=[8, 16])
    given = parser.parse_args()
    run, source = load_run(given.run, "best"), Dataset.open(given.dataset).source("test") if given.dataset else ()
    real = [source[i].steps for i in range(min(len(source), 60))]
    if "keys" in given.what:
        _keys(run, real, given.pieces)
    if "endings" in given.what:
        _endings(run, real, 6 * given.pieces, given.bars)


if __name__ == "__main__":
    main()
