"""`ostinato export`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from ostinato.launch.commands.show import say


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a trained model for other programs: parameters as torch.nn has them, the sampling step as StableHLO."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""
    output: tyro.conf.Positional[Path]
    """Folder for parameters.safetensors, step.stablehlo, start.safetensors and description.json."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""

    def run(self) -> None:
        """Writes the files."""
        from ostinato.data.atomic import make_folder, write_atomically
        from ostinato.launch.cache import load_run
        from ostinato.sample.export.exchange import PARAMETERS, write_parameters
        from ostinato.sample.export.step_export import BEGIN, STEP, write_step

        run = load_run(self.workdir, self.checkpoint)
        make_folder(self.output)
        description = write_parameters(run, self.output / PARAMETERS)
        description["sampling_step"] = write_step(run, self.output)
        write_atomically(self.output / "description.json", (json.dumps(description, indent=1) + "\n").encode())
        say(f"{self.output}: {PARAMETERS} (in torch.nn's layout), {STEP} with {BEGIN}, and description.json")
