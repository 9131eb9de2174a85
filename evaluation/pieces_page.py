"""A page with pieces of a dataset to see and to hear, as a model hears them: decoded from their events."""

from pathlib import Path

from ostinato.configs.errors import UserError
from ostinato.data.records import Dataset
from ostinato.evaluation.examples import Example
from ostinato.evaluation.held_out import choose_pieces
from ostinato.evaluation.report import piece_names
from ostinato.report.templates import render

NUM_PIECES = 8


def pieces_page(dataset: Dataset, split: str) -> str:
    """Returns the page of at most NUM_PIECES pieces of a split, evenly spread: roll and sound of the beginning of each.

    Raises:
        UserError: there is no such split, or it holds no pieces.
    """
    source = dataset.source(split)
    if not len(source):
        raise UserError(f"{dataset}: the {split} split holds no pieces to hear")
    records = [source[number] for number in choose_pieces(len(source), NUM_PIECES).tolist()]
    names = piece_names(dataset, {record.id for record in records})
    examples = [
        Example(names.get(record.id, record.id[:12]), dataset.codec.decode(record.steps), f"piece-{place}")
        for place, record in enumerate(records)
    ]
    return render(
        Path(__file__).parent / "templates",
        "pieces.html",
        dataset=dataset.path.name,
        split=split,
        num_pieces=len(source),
        examples=examples,
    )
