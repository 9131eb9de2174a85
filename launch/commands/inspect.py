"""`ostinato inspect`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import print_rows, print_table, say, show_manifest

if TYPE_CHECKING:
    from ostinato.music.piece import Piece

SHOWN_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Shows what a dataset holds, and one of its pieces decoded."""

    dataset: tyro.conf.Positional[Path]
    """A folder that `ostinato prepare` wrote."""
    split: str = "train"
    """Which split the piece is taken from."""
    piece: int = 0
    """Number of the piece within the split."""
    listen: Path | None = None
    """Write a page to this file on which some pieces of the split can be seen and heard, and do nothing else."""

    def run(self) -> None:
        """Prints the tables of the dataset's report, and one piece: its first notes and its first events."""
        if self.listen is not None:
            self._write_page(self.listen)
            return
        from ostinato.beam_pipelines import summary as tables
        from ostinato.beam_pipelines.text import NO_STATISTICS
        from ostinato.data.records import Dataset

        dataset = Dataset.open(self.dataset)
        source = dataset.source(self.split)
        if not 0 <= self.piece < len(source):
            raise UserError(f"{dataset}: the {self.split} split has pieces 0 to {len(source) - 1}, not {self.piece}")
        dataset.fetch("statistics.json")
        show_manifest(dataset.path, dataset.manifest, title=str(dataset))
        summary = tables.summarise(dataset.path, dataset.manifest)
        if summary.splits:
            for table in (tables.style_table(summary), tables.music_table(summary), tables.program_table(summary)):
                print_rows(table)
        else:
            say(NO_STATISTICS)
        record = source[self.piece]
        piece = dataset.codec.decode(record.steps)
        style = f", style {record.style}" if record.style else ""
        say(
            f"piece {self.piece} of {self.split}: {piece.num_notes} notes, {piece.duration_s:.1f} s{style}, "
            f"id {record.id[:16]}"
        )
        heading = ["beat", "instrument", "pitch", "length", "velocity"]
        print_table("its first notes", heading, _first_notes(piece), words=(1,))
        events = [[str(i), *map(str, event)] for i, event in enumerate(record.steps[:SHOWN_ROWS].tolist())]
        print_table("its first events", ["event", *(field.name for field in dataset.codec.fields)], events)

    def _write_page(self, path: Path) -> None:
        from ostinato.data.atomic import make_folder, write_atomically
        from ostinato.data.records import Dataset
        from ostinato.evaluation.pieces_page import pieces_page

        page = pieces_page(Dataset.open(self.dataset), self.split)
        make_folder(path.parent)
        write_atomically(path, page.encode())
        say(f"{path}: pieces of the {self.split} split to see and hear")


def _first_notes(piece: "Piece") -> list[list[str]]:
    """Returns onset in quarter notes, instrument, pitch, length in quarter notes and velocity."""
    from ostinato.beam_pipelines.text import note_name
    from ostinato.music.midi_write import instrument_name
    from ostinato.music.piece import DRUMS

    columns = (piece.notes.onset, piece.notes.duration, piece.notes.pitch, piece.notes.velocity, piece.notes.program)
    rows = zip(*(column[:SHOWN_ROWS].tolist() for column in columns), strict=True)
    return [
        [
            f"{onset / piece.ticks_per_quarter:.2f}",
            instrument_name(program),
            str(pitch) if program == DRUMS else note_name(pitch),
            f"{duration / piece.ticks_per_quarter:.2f}",
            str(velocity),
        ]
        for onset, duration, pitch, velocity, program in rows
    ]
