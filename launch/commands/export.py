"""`ostinato export`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import say, starting

if TYPE_CHECKING:
    from ostinato.train.checkpoint import LoadedRun

DESCRIPTION = "description.json"


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a trained model for others: for other programs, or as a model folder or a model on the Hub."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run, or a model that `ostinato models` lists."""
    output: tyro.conf.Positional[Path]
    """Folder for the files, or hub:USER/NAME."""
    format: Literal["exchange", "model"] = "exchange"
    """exchange: parameters.safetensors as torch.nn has them, the sampling step as StableHLO, description.json. model: a
    model folder, which every command takes in place of a run (model.safetensors, config.json and the card README.md);
    what goes to the Hub is one."""
    card: Path | None = None
    """For the model card: a TOML file with what a run does not know, such as name, licence and sources;
    docs/models.md says what may stand in it."""
    report: Path | None = None
    """For the model card: the report.json that `ostinato evaluate` wrote about this checkpoint."""
    stored: Literal["float32", "float16", "bfloat16"] = "float32"
    """How a model folder holds parameters; they are float32 again when it is opened."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""

    def run(self) -> None:
        """Writes the files.

        Raises:
            UserError: options do not go together, an input is missing or speaks of another model, or the folder or the
                Hub cannot be written to.
        """
        starting("reading %s and writing %s", self.workdir, self.output)
        from ostinato.launch.cache import load_run
        from ostinato.pretrained.models import HUB

        to_hub = str(self.output).startswith(HUB)
        is_model = to_hub or self.format == "model"
        if not is_model and (self.card or self.report or self.stored != "float32"):
            raise UserError("--card, --report and --stored go with --format model")
        run = load_run(self.workdir, self.checkpoint)
        if to_hub:
            self._upload(run)
        elif is_model:
            self._write_model(run, self.output, self.output.resolve().name)
        else:
            self._write_exchange(run)

    def _upload(self, run: "LoadedRun") -> None:
        import tempfile

        from ostinato.pretrained.export import write_model_folder
        from ostinato.pretrained.hub import upload
        from ostinato.pretrained.models import parse_hub

        user, name, _ = parse_hub(str(self.output))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            write_model_folder(
                run, path, name=name, source=self.workdir, facts=self.card, report=self.report, stored=self.stored
            )
            address = upload(path, str(self.output))
        say(f"{address}: ostinato sample --model hub:{user}/{name}")

    def _write_model(self, run: "LoadedRun", folder: Path, name: str) -> None:
        from ostinato.pretrained.export import write_model_folder

        config = write_model_folder(
            run, folder, name=name, source=self.workdir, facts=self.card, report=self.report, stored=self.stored
        )
        say(
            f"{folder}: {config['num_parameters']:,} parameters as {config['stored']}, with config.json and README.md; "
            f"every command takes it in place of a run: ostinato sample --model {folder}"
        )

    def _write_exchange(self, run: "LoadedRun") -> None:
        from ostinato.data.atomic import filled_folder
        from ostinato.sample.export.exchange import PARAMETERS, write_parameters
        from ostinato.sample.export.step_export import BEGIN, STEP, write_step

        with filled_folder(self.output, last=DESCRIPTION) as folder:
            description = write_parameters(run, folder / PARAMETERS)
            description["sampling_step"] = write_step(run, folder)
            (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
        say(f"{self.output}: {PARAMETERS} (in torch.nn's layout), {STEP} with {BEGIN}, and {DESCRIPTION}")
