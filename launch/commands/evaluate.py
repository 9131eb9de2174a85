"""`ostinato evaluate`."""

import dataclasses
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from ostinato.configs.checks import check_bounds
from ostinato.configs.errors import UserError
from ostinato.configs.schema import MAX_SEED
from ostinato.launch.arguments import check_beam_options
from ostinato.launch.commands.show import print_table, say, starting


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measures a trained model on held-out music beside baselines on the same notes.

    What the baselines count is counted by Apache Beam; its options (--runner=FlinkRunner) go to it.
    """

    workdir: Path
    """The folder of a training run, or a model that `ostinato models` lists."""
    dataset: Path
    """The dataset that it was trained on, or another with the same codec."""
    output: Path
    """Folder for report.json, report.html and judge.safetensors."""
    runs: tuple[Path, ...] = ()
    """Other runs on the same dataset, or models, to be measured beside it."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""
    batch_size: int = 32
    """Pieces measured at the same time; changes the speed only."""
    max_train_pieces: int = 200
    """Of the training split at most this many pieces are measured, evenly spread; 0 is all. Others are always whole."""
    transpose_baselines: int = 0
    """The baselines count each training piece in all keys up to this many semitones higher and lower too, as a model
    that was trained with --data.max-transpose has seen it. Takes 2 n + 1 times as long."""
    num_samples: int = 32
    """Pieces that the run, each of --runs, and the baselines markov:3 and rules generate, for musical statistics and
    originality beside held-out pieces; 0 leaves both out."""
    seed: int = 0
    """Seed of these pieces."""
    temperature: float = 1.0
    """Of these pieces: below 1 is safer, above 1 is bolder. The baselines have none."""
    judge: bool = True
    """Let a small network learn to tell these pieces from real ones and say how often it is right (classifier
    two-sample test): a minute or two."""
    by_checkpoint: bool = False
    """Show likelihood and originality of each checkpoint that the run still has; each generates as many pieces."""
    old_dataset: Path | None = None
    """For a fine-tuned run: what its first run was trained on, if it is no longer where it was."""
    audio: bool = True
    """Let the page be heard; without sound it is a few MB smaller."""
    listening: Path | None = None
    """The folder that 'ostinato listen results' wrote to: what people said becomes a part of the report."""
    beam_options: tyro.conf.Suppress[tuple[str, ...]] = ()
    """What is left of the command line."""

    def __post_init__(self) -> None:
        if self.num_samples < 0 or 0 < self.num_samples < 4:
            raise UserError(f"--num-samples {self.num_samples} must be 0, or at least 4 pieces to be compared")
        check_bounds(self, "seed", 0, MAX_SEED)
        if self.batch_size < 1 or self.max_train_pieces < 0 or self.transpose_baselines < 0:
            raise UserError("--max-train-pieces and --transpose-baselines are from 0 on, --batch-size from 1")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"--temperature {self.temperature} must be above 0")

    def run(self) -> None:
        """Measures the run, and others beside it, writes the report and prints what matters most."""
        starting(
            "measuring %s on %s: likelihood first, then generated pieces; takes minutes", self.workdir, self.dataset
        )
        from ostinato.data.records import Dataset
        from ostinato.evaluation.measure import EvaluationConfig
        from ostinato.evaluation.report import evaluate_run
        from ostinato.launch.cache import cache_compilations, counts_of, index_of
        from ostinato.listen.analysis.results_file import read_listening
        from ostinato.pretrained.find import find_source
        from ostinato.train.folders import is_model_folder

        check_beam_options("evaluate", self)
        listening = None if self.listening is None else read_listening(self.listening)
        dataset = Dataset.open(self.dataset)
        runs = tuple(map(find_source, (self.workdir, *self.runs)))
        if self.by_checkpoint and is_model_folder(runs[0]):
            raise UserError(f"{self.workdir}: --by-checkpoint is for runs; a model has one checkpoint")
        cache_compilations()
        config = EvaluationConfig(
            runs=runs,
            checkpoint=self.checkpoint,
            batch_size=self.batch_size,
            max_train_pieces=self.max_train_pieces,
            transpose_baselines=self.transpose_baselines,
            num_samples=self.num_samples,
            seed=self.seed,
            temperature=self.temperature,
            judge=self.judge,
            by_checkpoint=self.by_checkpoint,
            old_dataset=None if self.old_dataset is None else Dataset.open(self.old_dataset),
            command=self.command_line(),
        )
        report = evaluate_run(
            config,
            dataset,
            self.output,
            counts=lambda: counts_of(dataset, self.beam_options, max_transpose=self.transpose_baselines),
            index=lambda: index_of(dataset),
            audio=self.audio,
            listening=listening,
        )
        _print(report)
        say(f"{self.output / 'report.html'} holds the whole report")

    def command_line(self) -> str:
        """Returns the command that does the same: all options that are not as they are by default."""
        words = ["ostinato", "evaluate"]
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if option.name == "beam_options":
                words += value
            elif isinstance(value, bool) and value != option.default:
                words.append(f"--{'' if value else 'no-'}{option.name}".replace("_", "-"))
            elif value != option.default:
                words += [
                    f"--{option.name}".replace("_", "-"),
                    *map(str, value if isinstance(value, tuple) else [value]),
                ]
        return shlex.join(words)


def _print(report: dict[str, Any]) -> None:
    from ostinato.evaluation import tables
    from ostinato.evaluation.summary import summary

    held_out = report["held_out"]
    print_table(f"{held_out} split", *tables.score_rows(report, held_out))
    for title, rows, words in (
        ("Generated pieces beside real ones", tables.distance_rows(report), (0, 6)),
        ("How unlike each other the pieces are", tables.diversity_rows(report), (0,)),
        ("Fine-tuning (nats per note)", tables.transfer_rows(report), (0,)),
    ):
        if rows[1]:
            print_table(title, *rows, words=words)
    for line in (*summary(report), *(f"warning: {warning}" for warning in report["warnings"])):
        say(line)
