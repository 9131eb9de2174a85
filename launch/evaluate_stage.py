"""Hands the flags of evaluate over to its stage, and those of sample --model; says how it went."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from ostinato.configs.schema import SampleConfig
from ostinato.launch.kept import folder_of
from ostinato.launch.show import print_table, spinner
from ostinato.launch.stages import cache_compilations
from ostinato.music.records import Dataset

if TYPE_CHECKING:
    from ostinato.evaluation.copying.index import CopyIndex
    from ostinato.music.ngram_files import NgramCounts
    from ostinato.sample.audio import AudioFormat


def run_evaluation(
    workdir: Path,
    dataset: Path,
    output: Path,
    *,
    runs: Sequence[Path] = (),
    checkpoint: Literal["best", "latest"] = "best",
    batch_size: int = 32,
    max_train_pieces: int = 200,
    transpose_baselines: int = 0,
    num_samples: int = 32,
    seed: int = 0,
    temperature: float = 1.0,
    by_checkpoint: bool = False,
    old_dataset: Path | None = None,
    audio: bool = True,
    listening: Path | None = None,
    command: str = "",
    beam_args: Sequence[str] = (),
) -> dict[str, Any]:
    """Measures a run, and others beside it, writes the report and prints what matters most.

    The arguments are the options of `ostinato evaluate`; `command` is the line to be shown in the report.
    """
    from ostinato.evaluation import tables
    from ostinato.evaluation.measure import Wanted
    from ostinato.evaluation.report import evaluate_run
    from ostinato.evaluation.summary import summary
    from ostinato.evaluation.transfer import transfer_rows

    told = None
    if listening is not None:
        from ostinato.launch.listen_stage import read_listening

        told = read_listening(listening)
    opened = Dataset.open(dataset)
    cache_compilations()
    wanted = Wanted(
        runs=(workdir, *runs),
        checkpoint=checkpoint,
        batch_size=batch_size,
        max_train_pieces=max_train_pieces,
        transpose_baselines=transpose_baselines,
        num_samples=num_samples,
        seed=seed,
        temperature=temperature,
        by_checkpoint=by_checkpoint,
        old_dataset=None if old_dataset is None else Dataset.open(old_dataset),
        command=command,
    )
    report = evaluate_run(
        wanted,
        opened,
        output,
        counts=lambda: counts_of(opened, beam_args, max_transpose=transpose_baselines),
        index=lambda: index_of(opened),
        audio=audio,
        listening=told,
    )
    console = Console()
    held_out = report["held_out"]
    print_table(f"{held_out} split", *tables.score_rows(report, held_out))
    for title, rows, words in (
        ("Written pieces beside real ones", tables.distance_rows(report), (0, 6)),
        ("Fine-tuning (nats per note)", transfer_rows(report), (0,)),
    ):
        if rows[1]:
            print_table(title, *rows, words=words)
    for line in summary(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for warning in report["warnings"]:
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{output / 'report.html'} holds the whole report", highlight=False, soft_wrap=True)
    return report


def run_composing(
    model: str,
    config: SampleConfig,
    dataset: Path | None,
    output: Path | None,
    *,
    audio: "AudioFormat | None",
    soundfont: Path | None,
) -> list[Path]:
    """Writes new pieces by a baseline that knows a dataset.

    Raises:
        ValueError: a flag is missing or does not go with the others.
    """
    from ostinato.evaluation.compose import compose, describe_composer
    from ostinato.sample.write import write_pieces

    if dataset is None or output is None:
        raise ValueError(f"--model {model} needs --dataset, from which it learns, and --output")
    opened = Dataset.open(dataset)
    pieces = dict(enumerate(compose(model, opened, config, counts=lambda: counts_of(opened))))
    paths = write_pieces(
        pieces,
        opened.codec,
        output,
        origins={number: describe_composer(model, opened, config, piece=number) for number in pieces},
        found={"dataset": str(dataset.absolute())},
        audio=audio,
        soundfont=soundfont,
    )
    Console().print(f"{output / 'index.html'}: {len(paths)} pieces by {model}", highlight=False, soft_wrap=True)
    return paths


def counts_of(dataset: Dataset, beam_args: Sequence[str] = (), *, max_transpose: int = 0) -> "NgramCounts":
    """Returns what follows what in the training split, in its own keys or in several; it is counted once and then kept.

    `folder_of` says where.
    """
    from ostinato.beam_pipelines.count_ngrams import count_ngrams
    from ostinato.music.ngram_files import open_counts

    folder = folder_of(
        dataset,
        f"ngrams-{max_transpose}" if max_transpose else "ngrams",
        is_made=lambda folder: open_counts(folder, dataset.fingerprint) is not None,
    )
    counts = open_counts(folder, dataset.fingerprint)
    if counts is None:
        with spinner(f"counting {dataset.path} for the Markov chains"):
            count_ngrams(dataset, folder, beam_args, max_transpose=max_transpose)
        counts = open_counts(folder, dataset.fingerprint)
        assert counts is not None, "they have just been written"
    return counts


def index_of(dataset: Dataset) -> "CopyIndex":
    """Returns the index of the training split in which copies are looked for; it is made once and then kept.

    `folder_of` says where.
    """
    from ostinato.evaluation.copying.index import CopyIndex, is_index_of

    folder = folder_of(dataset, "copies", is_made=lambda folder: is_index_of(folder, dataset.fingerprint))
    with spinner(f"indexing {dataset.path}, in which copies are looked for"):
        return CopyIndex.of_dataset(dataset, folder)
