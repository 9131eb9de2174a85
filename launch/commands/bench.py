"""`ostinato bench`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import say


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Trains our LSTM on published benchmarks and shows it beside published models: ostinato bench rolls --data FOLDER.

    All of it takes hours on a CPU. What is done is kept: the same command resumes there.
    """

    benchmark: tyro.conf.Positional[Literal["rolls"]]
    """rolls: the piano rolls of Boulanger-Lewandowski et al. (2012), nats per frame."""
    data: Path
    """The folder of JSB_Chorales.mat, Nottingham.mat, Piano_midi.mat and MuseData.mat."""
    output: Path = Path("rolls")
    """Folder for rolls.json and rolls.md."""
    datasets: tuple[Literal["jsb", "nottingham", "piano-midi", "musedata"], ...] = ()
    """Only these; all by default."""
    columns: tuple[Literal["frame", "chord"], ...] = ()
    """Only frame (A, independent keys) or chord (B, the keys of a frame one after the other); both by default."""
    seeds: int = 3
    """Models of each kind; their scores' mean and spread are shown."""
    smoke: bool = False
    """Train small models on JSB for two epochs, in less than a minute, to see that it runs. The scores mean nothing."""

    def run(self) -> None:
        """Trains and measures the models that are asked for, and prints the table.

        Raises:
            UserError: a file is missing, or nothing is asked for.
        """
        from ostinato.benchmarks.rolls.bench import bench_rolls
        from ostinato.benchmarks.rolls.recipes import RECIPES, SMOKE
        from ostinato.launch.cache import cache_compilations
        from ostinato.train.memory import keep_freed_memory

        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds} must be at least 1")
        recipes = {
            key: recipe
            for key, recipe in (SMOKE if self.smoke else RECIPES).items()
            if key[0] in (self.datasets or key) and key[1] in (self.columns or key)
        }
        if not recipes:
            raise UserError("--smoke trains on jsb only; leave --datasets out")
        keep_freed_memory()
        cache_compilations()
        options = [f"--data {self.data.name}", f"--seeds {self.seeds}"]
        options += [f"--datasets {' '.join(self.datasets)}"] if self.datasets else []
        options += [f"--columns {' '.join(self.columns)}"] if self.columns else []
        options += ["--smoke"] if self.smoke else []
        command = f"ostinato bench rolls {' '.join(options)}"
        bench_rolls(self.data, self.output, recipes, range(self.seeds), command=command)
        say(*(self.output / "rolls.md").read_text().splitlines())
