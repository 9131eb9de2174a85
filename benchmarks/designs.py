"""One row per note beside REMI tokens: the same music, the same network, the same CPU time.

Pieces of the dataset are written as MIDI on the codec's grid and tokenised by MidiTok with a vocabulary that says
exactly that grid, so that both read the same notes, programs, loudness, tempos and metres. The tokens are trained by
our own network as rows of one field, so that what differs is the design and not the speed of the library.
"""

import json
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from ostinato.benchmarks.processes import run
from ostinato.benchmarks.turns import Variant, measure, ratio, started
from ostinato.data.records import Dataset
from ostinato.launch.commands.show import print_table, say
from ostinato.music import midi

OURS = "one row per note (ours)"
DESIGNS = {"REMI": "each-note", "REMI, Program on change": "on-change"}
"""What `benchmarks.remi` calls each."""

SPLITS = {"train": "train", "held_out": "validation"}


class Effort(NamedTuple):
    """How much is measured."""

    train_notes: int = 1_000_000
    held_out_notes: int = 60_000
    budget_s: float = 240
    """CPU time of each training."""
    num_rounds: int = 5
    round_s: float = 2
    hidden_size: int = 256
    num_layers: int = 2
    wider: int = 512
    """Another hidden size, whose speed is measured too: the wider, the less the head weighs beside the recurrence."""


class Settings(NamedTuple):
    """How a design is trained. For our rows 4e-3 beat 2e-3 in a short run; the tokens' is the same, unsearched."""

    batch_size: int
    sequence_length: int
    learning_rate: float


SETTINGS = {
    OURS: Settings(16, 64, 4e-3),
    "REMI": Settings(16, 128, 4e-3),
    "REMI, Program on change": Settings(16, 128, 4e-3),
}


class _Data(NamedTuple):
    """The pieces of both splits as one design writes them."""

    files: dict[str, str]
    field_sizes: list[int]
    num_rows: dict[str, int]
    num_notes: dict[str, int]


def compare(dataset: Dataset, work: Path, python: str, effort: Effort) -> dict[str, float]:
    """Prints speeds and likelihoods of the designs, and returns how many times as fast ours is."""
    data = _write_designs(dataset, work, python, effort)
    wide_s = _seconds_per_note(data, effort._replace(hidden_size=effort.wider))
    note_s = _seconds_per_note(data, effort)
    rows, ratios = [], {}
    for label, one in data.items():
        num_steps = max(2, round(effort.budget_s / (median(note_s[label]) * _notes_per_step(label, one))))
        nats, cpu_s = _train(label, one, num_steps, effort)
        times, wide_times = (ratio(seconds[label], seconds[OURS]) for seconds in (note_s, wide_s))
        ratios |= {f"notes/s over {label}": times, f"notes/s over {label}, at {effort.wider}": wide_times}
        rows.append(
            (
                label, f"{one.num_rows['train'] / one.num_notes['train']:.2f}", f"{1 / median(note_s[label]):,.0f}",
                f"{times:.2f} x", f"{wide_times:.2f} x", f"{num_steps * _notes_per_step(label, one):,.0f}",
                f"{nats / one.num_notes['held_out']:.3f}", f"{cpu_s:.0f}",
            )
        )  # fmt: skip
    notes = data[OURS].num_notes
    print_table(
        f"{effort.num_layers} x {effort.hidden_size}, {notes['train']:,} notes to learn from, {notes['held_out']:,} "
        f"held out, {effort.budget_s:.0f} s of CPU time each",
        ("", "rows a note", "notes/s", "ours is", f"at {effort.wider}", "notes seen", "nats a held-out note", "CPU s"),
        rows,
    )
    return ratios


def _write_designs(dataset: Dataset, work: Path, python: str, effort: Effort) -> dict[str, _Data]:
    """Writes the rows of each design, and says which share of the notes each keeps."""
    data = {label: _Data({}, [], {}, {}) for label in (OURS, *DESIGNS)}
    script = str(Path(__file__).with_name("remi.py"))
    for split, limit in (("train", effort.train_notes), ("held_out", effort.held_out_notes)):
        folder = work / f"midi-{split}"
        pieces = _write_pieces(dataset, SPLITS[split], folder, limit)
        files = {OURS: work / f"notes-{split}.npz"}
        np.savez(files[OURS], steps=np.concatenate(pieces), lengths=[len(piece) for piece in pieces])
        for label, programs in DESIGNS.items():
            files[label] = work / f"{programs}-{split}.npz"
            done = run([python, "-P", script, str(folder), str(files[label]), programs])
            answer = json.loads(done.output.splitlines()[-1])
            share = answer["kept"] / answer["notes"]
            say(f"{label}, {split}: {share:.4%} of the notes come back when its tokens are decoded")
        for label, one in data.items():
            one.files[split] = str(files[label])
            one.num_notes[split] = int(sum(dataset.codec.count_notes(piece).sum() for piece in pieces))
            with np.load(files[label]) as arrays:
                # The first row of a piece is given, not predicted.
                one.num_rows[split] = int(arrays["lengths"].sum()) - len(arrays["lengths"])
    data[OURS].field_sizes.extend(field.size for field in dataset.codec.fields)
    for label in DESIGNS:
        data[label].field_sizes.append(renumber(list(data[label].files.values())))
    return data


def _write_pieces(dataset: Dataset, split: str, folder: Path, limit: int) -> list[np.ndarray]:
    """Writes pieces drawn at random as MIDI until there are `limit` notes, and returns their rows."""
    folder.mkdir()
    source, pieces, num_notes = dataset.source(split), [], 0
    for number in np.random.default_rng(0).permutation(len(source)).tolist():
        if num_notes < limit:
            steps = source[number].steps
            (folder / f"{len(pieces):06d}.mid").write_bytes(midi.write(dataset.codec.decode(steps)))
            pieces.append(steps)
            num_notes += int(dataset.codec.count_notes(steps).sum())
    return pieces


def renumber(paths: list[str]) -> int:
    """Leaves out of the vocabulary what no piece says, in the tokens' favour, and returns what is left of it."""
    arrays = {path: dict(np.load(path)) for path in paths}
    known = np.unique(np.concatenate([one["steps"].ravel() for one in arrays.values()]))
    for path, one in arrays.items():
        np.savez(path, steps=np.searchsorted(known, one["steps"]).astype(np.uint16), lengths=one["lengths"])
    return len(known)


def _notes_per_step(label: str, data: _Data) -> float:
    settings = SETTINGS[label]
    return settings.batch_size * settings.sequence_length * data.num_notes["train"] / data.num_rows["train"]


def _variant(label: str, data: _Data, effort: Effort, num_steps: int) -> Variant:
    request = {
        **data.files,
        **SETTINGS[label]._asdict(),
        "field_sizes": data.field_sizes,
        "hidden_size": effort.hidden_size,
        "num_layers": effort.num_layers,
        "num_steps": num_steps,
    }
    return Variant("step_design.py", request)


def _seconds_per_note(data: dict[str, _Data], effort: Effort) -> dict[str, list[float]]:
    """Returns the CPU time of a note in each design, in each round."""
    variants = {label: _variant(label, one, effort, 1000) for label, one in data.items()}
    turns = measure(variants, num_rounds=effort.num_rounds, round_s=effort.round_s)
    return {label: [cpu_s / _notes_per_step(label, data[label]) for cpu_s in turns[label].cpu_s] for label in data}


def _train(label: str, data: _Data, num_steps: int, effort: Effort) -> tuple[float, float]:
    """Trains, and returns the nats of all held-out rows and the CPU time, less what compiling took."""
    with started(label, _variant(label, data, effort, num_steps)) as worker:
        worker.run(1)
        answer = worker.run(num_steps - 1)
        return worker.run(0)["loss"], answer["cpu_s"]
