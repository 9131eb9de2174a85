"""Hands the flags of evaluate over to its stage, and those of sample --model; says how it went."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.data.records import Dataset
from ostinato.launch.cache import counts_of, index_of
from ostinato.launch.commands.show import print_table
from ostinato.launch.commands.stages import cache_compilations

if TYPE_CHECKING:
    from ostinato.sample.output.audio import AudioFormat


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
    from ostinato.evaluation.measure import EvaluationConfig
    from ostinato.evaluation.report import evaluate_run
    from ostinato.evaluation.summary import summary

    heard = None
    if listening is not None:
        from ostinato.listen.analysis.results_file import read_listening

        heard = read_listening(listening)
    opened = Dataset.open(dataset)
    cache_compilations()
    config = EvaluationConfig(
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
        config,
        opened,
        output,
        counts=lambda: counts_of(opened, beam_args, max_transpose=transpose_baselines),
        index=lambda: index_of(opened),
        audio=audio,
        listening=heard,
    )
    console = Console()
    held_out = report["held_out"]
    print_table(f"{held_out} split", *tables.score_rows(report, held_out))
    for title, rows, words in (
        ("Written pieces beside real ones", tables.distance_rows(report), (0, 6)),
        ("Fine-tuning (nats per note)", tables.transfer_rows(report), (0,)),
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
        UserError: a flag is missing or does not go with the others.
    """
    from ostinato.evaluation.baselines.compose import compose, describe_composer
    from ostinato.sample.output.write import write_pieces

    if dataset is None or output is None:
        raise UserError(f"--model {model} needs --dataset, from which it learns, and --output")
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
