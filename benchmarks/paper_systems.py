"""The systems of the paper's experiment: what each is trained on, how, and what is measured of it.

A cell is one system on one corpus with one seed. Its folder is a training run like any other, so it goes on where it
was ended; when it is measured, cell.json holds what was found.
"""

import dataclasses
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ostinato.beam_pipelines.prepare import prepare
from ostinato.benchmarks.outcomes import kept
from ostinato.configs.errors import UserError
from ostinato.configs.presets import Preset, chorales, paper
from ostinato.configs.schema import TrainConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.manifest import FILE as MANIFEST
from ostinato.data.records import Dataset, Record
from ostinato.evaluation.held_out import choose_pieces
from ostinato.evaluation.measure import EvaluationConfig, measure_run
from ostinato.evaluation.paper_table import paper_table
from ostinato.launch.cache import counts_of, index_of
from ostinato.train.loop import train
from ostinato.train.metrics import FILE as METRICS
from ostinato.train.metrics import read_lines

RUNS, OUTCOME = "runs", "cell.json"
WINDOWS = "windows"
"""The system that is the paper's, trained where windows and not pieces were dealt to the two splits."""


class Corpus(NamedTuple):
    """Music that the systems learn."""

    title: str
    archive: str
    """In the folder of --data."""
    folder: str
    """Of the archive, whose files are taken."""


CORPORA = {
    "nottingham": Corpus("Nottingham, melodies", "nottingham.zip", "melody/"),
    "giantmidi": Corpus("GiantMIDI, piano", "giantmidi.zip", ""),
}


class System(NamedTuple):
    """A network, and how it learns."""

    title: str
    preset: Preset


def _variant(**model: Any) -> Preset:
    """Returns the paper's preset with another network."""
    preset = paper()
    return dataclasses.replace(
        preset, train=dataclasses.replace(preset.train, model=dataclasses.replace(preset.train.model, **model))
    )


def _default() -> Preset:
    """Returns the network of the demo, on the paper's split."""
    preset = chorales()
    return Preset(prepare=dataclasses.replace(preset.prepare, split=paper().prepare.split), train=preset.train)


SYSTEMS = {
    "paper": System("LSTM of the paper", paper()),
    WINDOWS: System("LSTM of the paper, split by window", paper()),
    "embedding": System("LSTM with embeddings", _variant(inputs="embedding")),
    "rnn": System("plain RNN", _variant(cell="rnn")),
    "default": System("default network", _default()),
}
COMPOSERS = {"rules": "rules", "markov:3": "Markov chain, order 3"}
"""What writes without a network; they are measured beside the paper's model."""


class Effort(NamedTuple):
    """How much is trained and measured; what is not said is as the presets have it."""

    hidden_size: int = 0
    num_epochs: int = 0
    max_files: int = 0
    """Of each corpus; 0 is all."""
    num_samples: int = 32
    judge: bool = True


class Cell(NamedTuple):
    """A place of the table."""

    corpus: str
    system: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.corpus}-{self.system}-{self.seed}"


def plan(corpora: Sequence[str], systems: Sequence[str], seeds: int) -> list[Cell]:
    """Returns all cells in the order in which they are filled: a first seed of everything, then the next."""
    return [Cell(corpus, system, seed) for seed in range(seeds) for system in systems for corpus in corpora]


def open_dataset(output: Path, data: Path, cell: Cell, effort: Effort) -> Dataset:
    """Returns the dataset of a cell; it is prepared if it is not there.

    Raises:
        UserError: the archive is missing or has no such files.
    """
    config = SYSTEMS[cell.system].preset.prepare
    folder = output / "data" / f"{cell.corpus}-{config.codec.name}"
    if not (folder / MANIFEST).is_file():
        midi = output / "midi" / cell.corpus
        _unpack(data, CORPORA[cell.corpus], midi, effort.max_files)
        prepare([str(midi)], folder, config, [])
    dataset = Dataset.open(folder)
    if cell.system == WINDOWS:
        folder = output / "data" / f"{cell.corpus}-{WINDOWS}"
        if not (folder / MANIFEST).is_file():
            write_windows(dataset, folder, paper().train.data.sequence_length)
        dataset = Dataset.open(folder)
    return dataset


def _unpack(data: Path, corpus: Corpus, folder: Path, max_files: int) -> None:
    path = data / corpus.archive
    if not path.is_file():
        raise UserError(
            f"{path}: missing; --data is the folder of {', '.join(one.archive for one in CORPORA.values())}"
        )
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith(corpus.folder) and name.endswith(".mid")]
        if not names:
            raise UserError(f"{path}: holds no .mid files under {corpus.folder!r}")
        for number in choose_pieces(len(names), max_files).tolist():
            archive.extract(names[number], folder)


def write_windows(pieces: Dataset, folder: Path, length: int) -> None:
    """Writes all windows of the pieces of all splits, one from each row on, and deals them to two splits, four to one.

    So the paper splits: nearly every held-out window shares all but a row with one that is learned. As many windows are
    held out as the pieces have rows to be measured on; the others of their share are left out.
    """
    windows = []
    for split in pieces.splits:
        source = pieces.source(split)
        for number in range(len(source)):
            record = source[number]
            # A window is as many inputs and the row that follows the last of them.
            for begin in range(max(1, len(record.steps) - length)):
                windows.append(Record(f"{record.id}:{begin}", record.style, record.steps[begin : begin + length + 1]))
    order = np.random.default_rng(0).permutation(len(windows)).tolist()
    num_held_out = len(order) // 5
    rows = int(pieces.source("validation").lengths.sum())
    held_out = order[: min(num_held_out, max(1, rows // length))]
    splits = {"train": order[num_held_out:], "validation": held_out}
    records = {split: [windows[number] for number in numbers] for split, numbers in splits.items()}
    shutil.rmtree(folder, ignore_errors=True)  # of a command that was ended while it wrote
    write_dataset(folder, records, pieces.codec, drawn_from=pieces.fingerprint)


def train_config(cell: Cell, effort: Effort, steps_per_epoch: int) -> TrainConfig:
    """Returns how the network of a cell is trained.

    Args:
        cell: its place.
        effort: how much.
        steps_per_epoch: of the pieces. Windows overlap, so there are some fifty times as many rows of them; training
            takes as many steps between measurements as with pieces.
    """
    config = SYSTEMS[cell.system].preset.train
    if effort.hidden_size:
        sizes = {"hidden_size": effort.hidden_size, "head_size": min(config.model.head_size, effort.hidden_size)}
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, **sizes))
    if effort.num_epochs:
        config = dataclasses.replace(config, num_epochs=effort.num_epochs, num_steps=0, evaluate_every=0)
    if cell.system == WINDOWS:
        steps = config.num_epochs * steps_per_epoch
        config = dataclasses.replace(config, num_steps=steps, evaluate_every=steps_per_epoch)
    return dataclasses.replace(config, seed=cell.seed, keep_checkpoints=1)


def fill_cell(output: Path, data: Path, cell: Cell, effort: Effort) -> dict[str, Any]:
    """Trains and measures what belongs into a cell, or goes on with it, or returns what was found before.

    Returns:
        `steps`, `best_step` and `finished`; `paper_table`; `curves`: step and loss of each measurement, by split; and
        `writers`, the figures of `figures_of`, for all but windows.
    """
    pieces = open_dataset(output, data, cell._replace(system="paper") if cell.system == WINDOWS else cell, effort)
    data_config = SYSTEMS[cell.system].preset.train.data
    rows = data_config.batch_size * data_config.sequence_length
    config = train_config(cell, effort, max(1, int(pieces.source("train").lengths.sum()) // rows))
    workdir = output / RUNS / cell.name

    def make() -> dict[str, Any]:
        dataset = open_dataset(output, data, cell, effort)
        result = train(config, dataset, workdir)
        found = {
            "steps": result.step,
            "best_step": result.best_step,
            "best_loss": result.best_loss,
            "paper_table": [{**row._asdict(), "improvement": row.improvement} for row in paper_table(workdir)],
            "curves": curves(workdir),
        }
        if cell.system != WINDOWS:
            evaluation = EvaluationConfig(
                runs=(workdir,), num_samples=effort.num_samples, seed=cell.seed, judge=effort.judge
            )
            measured = measure_run(
                evaluation, dataset, counts=lambda: counts_of(dataset), index=lambda: index_of(dataset)
            )
            found["writers"] = figures_of(measured.report)
        jax.clear_caches()  # each run compiles its own step
        return found

    settings = {"config": dataclasses.asdict(config), "effort": effort._asdict()}
    return kept(workdir / OUTCOME, settings, make)


def curves(workdir: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns step and loss of each measurement of a run, by split."""
    found: dict[str, list[tuple[int, float]]] = {"train": [], "validation": []}
    for line in read_lines(workdir / METRICS):
        if (loss := line.get("loss")) is not None:
            found[line["split"]].append((line["step"], round(loss, 4)))
    return found


def figures_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the figures of each writer in a report of `evaluate`: of the run (`run`), of COMPOSERS, of real music.

    `accuracy` and `nats` (with intervals) on held-out pieces; `structure`: the mean overlap with real music of how much
    more the music comes back after 4 to 32 quarters than its beats in random order; `variety`: the mean distance of two
    pieces in their notes; `originality`: the mean of the longest run of notes shared with a training piece; `judge`:
    how often the judge is right, with its interval. What was not measured is None.
    """
    run = report["splits"][report["held_out"]][0]["name"]
    scores = {score["name"]: score for score in report["splits"][report["held_out"]]}
    statistics = {one["name"]: one for one in report["statistics"]}
    copied = {one["name"]: one for one in report["originality"]}
    two_sample = report["two_sample"] or {"writers": [], "control": None}
    judged = {one["name"]: one for one in two_sample["writers"]}
    found: dict[str, dict[str, Any]] = {}
    for name in (run, *COMPOSERS):
        score, compared, copies, judge = (by.get(name) for by in (scores, statistics, copied, judged))
        found["run" if name == run else name] = {
            "accuracy": score and [score["accuracy"], score["accuracy_interval"]],
            "nats": score and [score["nats_per_note"], score["nats_per_note_interval"]],
            "structure": compared and _structure(compared, "generated"),
            "variety": compared and compared["diversity"]["notes"]["generated"]["mean"],
            "frechet": compared and compared["frechet"].get("generated"),
            "originality": copies and copies["generated"]["longest_notes"]["mean"],
            "judge": judge and [judge["accuracy"], judge["accuracy_interval"]],
        }
    compared, copies, control = statistics.get(run), copied.get(run), two_sample["control"]
    found["real"] = {
        "accuracy": None,
        "nats": None,
        "structure": compared and _structure(compared, "control"),
        "variety": compared and compared["diversity"]["notes"]["real"]["mean"],
        "frechet": compared and compared["frechet"].get("control"),
        "originality": copies and copies["held_out"]["longest_notes"]["mean"],
        "judge": control and [control["accuracy"], control["accuracy_interval"]],
    }
    return found


def _structure(compared: dict[str, Any], of: str) -> float | None:
    features = (compared["features"].get(f"structure at {quarters} quarters", {}) for quarters in (4, 8, 16, 32))
    overlaps = [feature["overlap"][of] for feature in features if feature.get("overlap")]
    return float(np.mean(overlaps)) if overlaps else None
