"""`ostinato plan`."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ostinato.configs.errors import ExitCode, file_errors
from ostinato.configs.schema import TrainConfig
from ostinato.launch.commands.train import PRESET

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Tells what training a preset takes on machines that are not here: memory, seconds a step, hours an epoch.

    The real training step is compiled for each of them (TPUs: pip install 'ostinato[plan-tpu]', GPUs: plan-cuda).
    """

    config: Annotated[PRESET, tyro.conf.arg(name="")]  # pyright: ignore[reportInvalidTypeForm]  # made at run time
    """The preset, and options that change it."""
    on: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A machine and how many of it: v5e:4x4, v5p:2x2x2, v6e:4x4 (TPU slices), h100:8, a100:16 (GPUs), cpu (this one,
    measured; cpu:1 is one core). May be given several times."""
    dataset: Path | None = None
    """A folder that `ostinato prepare` wrote, for the length of an epoch."""
    num_notes: int = 10**9
    """Notes in an epoch, where no dataset is given."""
    search: bool = True
    """Look for the largest batch that fits, which takes one to four more compilations for each machine."""
    json: Path | None = None
    """File for the plan, with more figures than the tables show."""

    def run(self) -> int:
        """Prints the plan; a machine for which the step does not compile is a failure."""
        logger.info(
            "compiling the step for %s: seconds each for a small model, minutes for a large one", ", ".join(self.on)
        )
        from ostinato.launch.plan.command import plan
        from ostinato.launch.plan.tables import show_plan

        assert isinstance(self.config, TrainConfig)
        found = plan(self.config, self.on, dataset=self.dataset, num_notes=self.num_notes, search=self.search)
        show_plan(found)
        if self.json is not None:
            with file_errors(self.json):
                self.json.write_text(json.dumps(found, indent=1) + "\n")
        return ExitCode.FINISHED if all(target["compiles"] for target in found["targets"]) else ExitCode.FAILED
