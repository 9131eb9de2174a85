"""`ostinato train`."""

import dataclasses
import hashlib
import importlib
import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ostinato.configs.errors import ExitCode, StoppedError
from ostinato.configs.presets import PRESETS
from ostinato.configs.run_file import TrackerName, read_run_file
from ostinato.configs.schema import TrainConfig
from ostinato.launch.commands.show import say, starting

if TYPE_CHECKING:
    from ostinato.train.loop import Result

PRESET = tyro.extras.subcommand_type_from_defaults(
    {name: preset().train for name, preset in PRESETS.items()},
    {name: (preset.__doc__ or "").split("\n\n")[0] for name, preset in PRESETS.items()},
)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a model on a dataset, or resumes the run that is in the workdir."""

    dataset: tuple[str, ...]
    """A folder that `ostinato prepare` wrote, or several with their shares of the rows of each batch: a:0.7 b:0.3. An
    epoch is one of the first. The run is stopped by the mean of their validation losses, weighted by the shares."""
    workdir: Path
    """Folder for checkpoints and metrics."""
    coordinator: str = ""
    """HOST:PORT of process 0, where several processes train together. With the next two it says who this process is;
    launchers (`ostinato launch local`, Slurm, Open MPI, TPU pods, the files in launch/) say it by themselves."""
    num_processes: int = 0
    """How many processes train together."""
    process_id: int = -1
    """The number of this process; the first is 0."""
    start_timeout_s: float = 300.0
    """Seconds until a process that does not come is given up."""
    from_step: int = -1
    """Resume from the checkpoint of this step instead of the latest; later ones are set aside. To be given once."""
    accept_dataset: bool = False
    """Resume a run on a dataset that was made from the one it was trained on (`ostinato prepare --from`): larger or
    smaller, with the same codec, and no piece in another split. From here on the order of the data is the new one's."""
    init_from: Path | None = None
    """Fine-tuning: begin with the best checkpoint of another run of the same codec and network, or with a model that
    `ostinato models` lists."""
    old_dataset: Path | None = None
    """Music that is not to be forgotten: --data.old-share of each batch is read from here."""
    profile: str = ""
    """Steps, such as 100-105, of which a JAX trace is written to the folder profile/ of the run."""
    track: tuple[TrackerName, ...] = ()
    """Trackers that hear the numbers of the run beside metrics.jsonl and TensorBoard (extras `wandb` and `mlflow`)."""
    run_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """A TOML file that has these options and those of the preset, such as `ostinato runs config RUN` writes. Instead of
    a preset, of which it may name one; options override it."""
    config: Annotated[PRESET, tyro.conf.arg(name="")]  # pyright: ignore[reportInvalidTypeForm]  # made at run time
    """The preset, and options that change it."""

    @classmethod
    def for_words(cls, words: Sequence[str]) -> type["Train"]:
        """Returns the command as these words have it: with --config FILE, what the file says is the default.

        Raises:
            UserError: the file cannot be read or says what cannot be.
        """
        given = [word.partition("=")[2] for word in words if word.startswith("--config=")]
        given += [after for word, after in itertools.pairwise(words) if word == "--config"]
        if not given:
            return cls
        file = read_run_file(Path(given[-1]))
        config: Any = Annotated[TrainConfig, tyro.conf.arg(name="")]
        fields: list[tuple[str, Any, Any]] = [("config", config, dataclasses.field(default=file.config))]
        for name, value in file.options.items():
            fields.append((name, cls.__annotations__[name], dataclasses.field(default=value)))
        return dataclasses.make_dataclass("Train", fields, bases=(cls,), frozen=True, kw_only=True)

    def run(self) -> None:
        """Trains, with the other processes of the run if there are any, and says how good the model is.

        Raises:
            StoppedError: SIGTERM came; a checkpoint is saved.
        """
        if self.process_id <= 0 and os.environ.get("OSTINATO_PROCESS_ID", "") in ("", "0"):
            starting(
                "training on %s in %s; the first step is compiled for up to a minute",
                " ".join(self.dataset),
                self.workdir,
            )
        from ostinato.launch.extras import needs_extra

        for name in self.track:
            with needs_extra(name, who=f"--track {name}"):
                importlib.import_module(name)
        import jax

        from ostinato.data.mixture import open_mixture
        from ostinato.data.records import Dataset
        from ostinato.launch.cache import cache_compilations
        from ostinato.pretrained.find import find_source
        from ostinato.pretrained.models import cache_folder
        from ostinato.train.hosts.distributed import Settings, initialize
        from ostinato.train.hosts.preemption import StopSignal
        from ostinato.train.loop import train
        from ostinato.train.profiling import steps_to_profile

        assert isinstance(self.config, TrainConfig)
        profile = steps_to_profile(self.profile)
        if not os.environ.get("OSTINATO_TRACEBACK"):
            logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs each error that it raises, at length
        dataset = open_mixture(self.dataset)
        settings = Settings(
            coordinator=self.coordinator,
            num_processes=self.num_processes,
            process_id=self.process_id,
            start_timeout_s=self.start_timeout_s,
        )
        configuration = hashlib.sha256(repr(self.config).encode()).hexdigest()
        initialize(settings, same={"configuration": configuration[:12], "dataset": dataset.fingerprint[:12]})
        cache_compilations()
        with StopSignal() as should_stop:
            result = train(
                self.config,
                dataset,
                self.workdir,
                should_stop=should_stop,
                from_step=None if self.from_step < 0 else self.from_step,
                accept_dataset=self.accept_dataset,
                profile=profile,
                init_from=None if self.init_from is None else find_source(self.init_from),
                track=self.track,
                cache=cache_folder(),
                old_dataset=None if self.old_dataset is None else Dataset.open(self.old_dataset),
            )
        if not result.finished:
            raise StoppedError(
                f"{self.workdir}: asked to stop, step {result.step} is saved; the same command resumes",
                exit_code=ExitCode.PREEMPTED,
            )
        if jax.process_index() != 0:
            return
        if result.best_loss is None:
            losses = "no validation split, so the latest checkpoint is the best"
        else:
            which = "the latest, which counts" if self.config.adversary.weight else "the best"
            losses = (
                f"validation loss {result.initial_loss:.4f} at the start, "
                f"{result.best_loss:.4f} at step {result.best_step}, {which}"
            )
        if result.step < result.num_steps:
            say(f"{self.workdir}: {stopped_early(result, self.config.patience)}")
        say(f"{self.workdir}: {result.step} steps done; {losses}")


def stopped_early(result: "Result", patience: int) -> str:
    """Returns why a run ended before its last step, and what resumes it."""
    return (
        f"stopped early at step {result.step} of {result.num_steps}: the last {patience} validations (--patience "
        f"{patience}) gained nothing over the loss {result.best_loss:.4f} of step {result.best_step}; "
        "the same command with a larger --patience, or with --patience 0, resumes the run"
    )
