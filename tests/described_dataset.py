"""Small finished datasets with everything that a report is made from."""

import json

from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Record
from ostinato.data.statistics import Statistics, total
from ostinato.music.score_codec import ScoreCodec
from tests.midi_files import tune

HOSTILE = "a<script>alert('x')</script>\"&\x1b[31m\u202egnp\udcff[/red].mid"
"""The name of a file as rejects.jsonl may hold it."""

CODEC = ScoreCodec()


def a_dataset(folder, styles=("",), *, with_statistics=True, rejects=(), duplicates=(), **extra):
    """Writes a dataset of one tune for each style and split; returns the statistics of all of it."""
    pieces = {
        split: [(style, tune(10 * number + len(split), program=number % 128)) for number, style in enumerate(styles)]
        for split in ("train", "test")
    }
    records = {
        split: [Record(f"{split}{i}", style, CODEC.encode(piece)) for i, (style, piece) in enumerate(members)]
        for split, members in pieces.items()
    }
    accepted = sum(map(len, pieces.values()))
    counts = {"accepted": accepted, "rejected": len(rejects), "duplicates": len(duplicates)}
    write_dataset(folder, records, CODEC, counts={"inputs": sum(counts.values()), **counts}, **extra)
    for name, lines in (("rejects", rejects), ("duplicates", duplicates)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    statistics = {
        style: {
            split: total(Statistics.from_piece(piece) for name, piece in members if name == style)
            for split, members in pieces.items()
        }
        for style in styles
    }
    splits = {split: total(of_style[split] for of_style in statistics.values()) for split in pieces}
    if with_statistics:
        content = {
            "splits": {split: stats.to_json() for split, stats in splits.items()},
            "styles": {
                style: {split: stats.to_json() for split, stats in of_style.items()}
                for style, of_style in statistics.items()
            },
        }
        (folder / "statistics.json").write_text(json.dumps(content))
    return total(splits.values())
