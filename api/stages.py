"""The stages as functions: each runs the command of its name, and shows what that shows."""

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ostinato.api.model import Model, load
from ostinato.api.options import takes_options
from ostinato.configs.errors import UserError
from ostinato.configs.preparation import PrepareConfig
from ostinato.configs.presets import PRESETS
from ostinato.configs.values import as_type, similar, with_values
from ostinato.launch.commands.evaluate import Evaluate
from ostinato.launch.commands.prepare import Prepare
from ostinato.launch.commands.train import Train
from ostinato.report.terminal import PlainFormatter

Paths = str | Path | Sequence[str | Path]


@takes_options(PrepareConfig)
def prepare(
    midi: Paths,
    output: str | Path,
    *,
    labels: str | Path = "",
    parsers: int = 0,
    beam_options: Sequence[str] = (),
    **options: Any,
) -> str:
    """Turns a collection of music into a dataset, prints what it holds, and returns its folder.

    Args:
        midi: files, folders, globs, archives or lists, as `ostinato prepare --midi` takes them; one or several.
        output: the dataset's folder; it must not exist yet.
        labels: a .csv or .jsonl file with the columns path, style, split, group.
        parsers: parser processes; 0 is one for each core.
        beam_options: of Apache Beam, such as `--runner=FlinkRunner`.
        options: of `PrepareConfig`; those of the codec as a mapping: `codec={"style": "folder"}`.

    Raises:
        UnknownOptionError: there is no such option; it is a TypeError and names the nearest one.
        UserError: a value cannot be, or the files cannot be read or hold no music.
    """
    config = with_values(PrepareConfig(), options, also=("labels", "parsers", "beam_options"))
    inputs = [midi] if isinstance(midi, str | Path) else midi
    command = Prepare(
        midi=tuple(map(str, inputs)), output=str(output), labels=str(labels), parsers=parsers,
        config=config, beam_options=tuple(beam_options),
    )  # fmt: skip
    with _shown():
        command.run()
    return str(output)


def train(
    dataset: Paths,
    workdir: str | Path,
    preset: str = "chorales",
    *,
    init_from: str | Path | None = None,
    old_dataset: str | Path | None = None,
    from_step: int = -1,
    accept_dataset: bool = False,
    track: Sequence[str] = (),
    **options: Any,
) -> Model:
    """Trains a model on a dataset, or resumes the run that is in the folder, and returns it.

    Args:
        dataset: a folder that `prepare` wrote, or several with their shares: `["a:0.7", "b:0.3"]`.
        workdir: the folder for checkpoints and metrics.
        preset: what the configuration begins with: chorales, debug, paper or lakh.
        init_from: begin with the best checkpoint of another run: fine-tuning.
        old_dataset: music that shall not be forgotten; `data={"old_share": 0.5}` of each batch is read from it.
        from_step: resume from the checkpoint of this step instead of the latest.
        accept_dataset: resume a run on a dataset that was made from the one it was trained on.
        track: wandb, mlflow, or both: trackers that hear the numbers of the run beside its own files.
        options: of `ostinato.configs.schema.TrainConfig`; those of its parts as mappings:
            `num_steps=500, model={"hidden_size": 512}, data={"max_transpose": 5}`.

    Raises:
        UnknownOptionError: there is no such option; it is a TypeError and names the nearest one.
        UserError: a value cannot be, or settings, data and run do not fit together.
        StoppedError: SIGTERM came, and a checkpoint is saved.
    """
    if preset not in PRESETS:
        raise UserError(f"preset {preset!r}{similar(preset, [*PRESETS])} must be one of {', '.join(PRESETS)}")
    command = Train(
        dataset=(str(dataset),) if isinstance(dataset, str | Path) else tuple(map(str, dataset)),
        workdir=Path(workdir),
        from_step=from_step,
        accept_dataset=accept_dataset,
        track=as_type(Train.__annotations__["track"], track, "track"),
        init_from=None if init_from is None else Path(init_from),
        old_dataset=None if old_dataset is None else Path(old_dataset),
        config=with_values(
            PRESETS[preset]().train,
            options,
            also=("preset", "init_from", "old_dataset", "from_step", "accept_dataset", "track"),
        ),
    )
    with _shown():
        command.run()
    return load(workdir)


@takes_options(Evaluate, leave_out=("workdir", "beam_options"))
def evaluate(run: str | Path, dataset: str | Path, output: str | Path, **options: Any) -> dict[str, Any]:
    """Measures a trained model on held-out music beside baselines, and returns what is in report.json.

    Args:
        run: the folder of a training run.
        dataset: the dataset that it was trained on, or another with the same codec.
        output: the folder for report.json and report.html.
        options: those of `ostinato evaluate`.

    Raises:
        UnknownOptionError: there is no such option; it is a TypeError and names the nearest one.
        UserError: a value cannot be, or run and dataset do not fit together.
    """
    command = Evaluate(workdir=Path(run), dataset=Path(dataset), output=Path(output))
    with _shown():
        with_values(command, options).run()
    return json.loads(Path(output, "report.json").read_bytes())


@contextlib.contextmanager
def _shown() -> Iterator[None]:
    """Shows on standard error what a stage logs about its progress, unless the program shows it itself.

    As in the commands, others are heard only when they have errors: apache_beam warns, at every import, about clouds
    that nobody asked for. Afterwards logging is as it was.
    """
    root, ours, beam = (logging.getLogger(name) for name in ("", "ostinato", "apache_beam"))
    is_shown = ours.isEnabledFor(logging.INFO) and ours.hasHandlers()
    with contextlib.ExitStack() as stack:
        for logger in (ours, beam):
            stack.callback(logger.setLevel, logger.level)
        if not root.handlers:
            stack.callback(root.removeHandler, _add_handler(root, logging.ERROR))
        if not is_shown:
            stack.callback(ours.removeHandler, _add_handler(ours, logging.INFO))
            ours.setLevel(logging.INFO)
            stack.callback(setattr, ours, "propagate", ours.propagate)
            ours.propagate = False
        beam.setLevel(logging.CRITICAL)  # it logs each error that it raises, at length
        yield


def _add_handler(logger: logging.Logger, level: int) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter())
    handler.setLevel(level)
    logger.addHandler(handler)
    return handler
