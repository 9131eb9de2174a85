"""One row per note beside REMI tokens: the same music, the same network, the same CPU time.

Pieces of the dataset are written as MIDI on the codec's grid and tokenised by MidiTok with a vocabulary that says
exactly that grid, so that both read the same notes, programs, loudness, tempos and metres. The tokens are trained by
our own network as rows of one field, so that what differs is the design and not the speed of the library.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ostinato.benchmarks.prepared import console, make_table
from ostinato.benchmarks.turns import Variant, measure, ratio, started
from ostinato.data.records import Dataset
from ostinato.music import midi

OURS = "one row per note (ours)"
DESIGNS = {"REMI": "each-note", "REMI, Program on change": "on-change"}
"""What `benchmarks.remi` calls each."""

SPLITS = {"train": "train", "held_out": "validation"}
MIN_TIMES_NOTES = 4.0


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


def compare(dataset: Dataset, work: Path, python: str, effort: Effort) -> dict[str, Any]:
    """Returns speeds and likelihoods of the designs, and prints them."""
    data, kept = _write_designs(dataset, work, python, effort)
    wide_rates = _rates(data, _measure_steps(data, effort._replace(hidden_size=effort.wider)))
    cost_s = _measure_steps(data, effort)
    rates = _rates(data, cost_s)
    times = {label: ratio(rates[OURS], rates[label]) for label in data}
    wide_times = {label: ratio(wide_rates[OURS], wide_rates[label]) for label in data}
    trained = {label: _train(label, data[label], np.median(cost_s[label]).item(), effort) for label in data}

    notes = data[OURS].num_notes
    table = make_table(
        f"{effort.num_layers} x {effort.hidden_size}, {notes['train']:,} notes to learn from, {notes['held_out']:,} "
        f"held out, {effort.budget_s:.0f} s of CPU time each",
        ("", "rows a note", "notes/s", "ours is", f"at {effort.wider}", "notes seen", "nats a held-out note", "CPU s"),
    )
    for label in data:
        result = trained[label]
        table.add_row(
            label, f"{data[label].num_rows['train'] / notes['train']:.2f}", f"{np.median(rates[label]):,.0f}",
            f"{times[label]:.2f} x", f"{wide_times[label]:.2f} x", f"{result['notes_seen']:,.0f}",
            f"{result['nats_per_note']:.3f}", f"{result['cpu_s']:.0f}",
        )  # fmt: skip
    console.print(table)
    for label, share in kept.items():
        console.print(f"{label}: {share:.4%} of the notes come back when its tokens are decoded")
    best = min(result["nats_per_note"] for label, result in trained.items() if label != OURS)
    if times["REMI"] < MIN_TIMES_NOTES:
        console.print(f"[red]Ours is {times['REMI']:.2f} times as fast as REMI, not {MIN_TIMES_NOTES:g} times.")
    if trained[OURS]["nats_per_note"] > best:
        console.print("[red]Ours says the held-out music worse than tokens after the same CPU time.")
    return {
        "ratios": {
            f"{effort.num_layers} x {hidden_size}: notes/s over {label}": round(found[label], 2)
            for hidden_size, found in ((effort.hidden_size, times), (effort.wider, wide_times))
            for label in data
            if label != OURS
        },
        "trained": trained,
        "rows_per_note": {label: round(one.num_rows["train"] / notes["train"], 3) for label, one in data.items()},
        "kept": kept,
    }


def _write_designs(
    dataset: Dataset, work: Path, python: str, effort: Effort
) -> tuple[dict[str, _Data], dict[str, float]]:
    """Writes the rows of each design, and returns them with the share of the notes that each keeps."""
    data = {label: _Data({}, [], {}, {}) for label in (OURS, *DESIGNS)}
    kept: dict[str, float] = {}
    for split, limit in (("train", effort.train_notes), ("held_out", effort.held_out_notes)):
        folder = work / f"midi-{split}"
        pieces = _write_pieces(dataset, SPLITS[split], folder, limit)
        notes = int(sum(dataset.codec.count_notes(piece).sum() for piece in pieces))
        path = work / f"notes-{split}.npz"
        np.savez(path, steps=np.concatenate(pieces), lengths=[len(piece) for piece in pieces])
        data[OURS].files[split] = str(path)
        script = str(Path(__file__).with_name("remi.py"))
        for label, programs in DESIGNS.items():
            path = work / f"{programs}-{split}.npz"
            command = [python, "-P", script, str(folder), str(path), programs]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{label}: exit code {done.returncode}\n{done.stderr[-2000:]}")
            answer = json.loads(done.stdout.splitlines()[-1])
            kept[label] = min(kept.get(label, 1.0), answer["kept"] / answer["notes"])
            data[label].files[split] = str(path)
        for one in data.values():
            one.num_notes[split] = notes
            with np.load(one.files[split]) as arrays:
                # The first row of a piece is given, not predicted.
                one.num_rows[split] = int(arrays["lengths"].sum()) - len(arrays["lengths"])
    data[OURS].field_sizes.extend(field.size for field in dataset.codec.fields)
    for label in DESIGNS:
        data[label].field_sizes.append(renumber(list(data[label].files.values())))
    return data, kept


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


def _measure_steps(data: dict[str, _Data], effort: Effort) -> dict[str, list[float]]:
    """Returns CPU seconds of a step of each design, in each round."""
    variants = {label: _variant(label, one, effort, 1000) for label, one in data.items()}
    turns = measure(variants, num_rounds=effort.num_rounds, round_s=effort.round_s)
    return {label: one.cpu_s for label, one in turns.items()}


def _rates(data: dict[str, _Data], cost_s: dict[str, list[float]]) -> dict[str, list[float]]:
    """Returns notes per second of CPU time."""
    return {label: [_notes_per_step(label, data[label]) / one for one in cost_s[label]] for label in data}


def _train(label: str, data: _Data, step_s: float, effort: Effort) -> dict[str, float]:
    """Trains for the CPU time that is allowed, less what compiling takes, and measures."""
    num_steps = max(2, round(effort.budget_s / step_s))
    with started(label, _variant(label, data, effort, num_steps)) as worker:
        worker.run(1)
        answer = worker.run(num_steps - 1)
        nats = worker.run(0)["loss"]
    return {
        "nats_per_note": nats / data.num_notes["held_out"],
        "cpu_s": answer["cpu_s"],
        "wall_s": answer["wall_s"],
        "steps": num_steps,
        "notes_seen": num_steps * _notes_per_step(label, data),
        "last_loss": answer["loss"],
    }
