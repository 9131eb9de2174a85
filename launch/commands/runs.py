"""`ostinato runs`: `runs FOLDER` lists training runs, `runs show RUN` tells more, `runs plot FOLDER` draws them.

`runs config RUN` prints the configuration of one, for `ostinato train --config`.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import print_table, say, starting

PLOT = "curves.png"
HEIGHT_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class RunsShow:
    """Shows how far a run is."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""
    json: bool = False
    """Print one line of JSON instead of a table."""

    def run(self) -> None:
        """Prints its state."""
        starting("reading %s", self.workdir)
        from ostinato.train.runs import show

        state = show(self.workdir)
        if self.json:
            print(json.dumps(state))
            return
        cells = [[name, str(value)] for name, value in state.items() if not isinstance(value, dict | list)]
        cells += [["history", json.dumps(entry)] for entry in state["history"]]
        print_table(str(self.workdir), ["", ""], cells, words=(0, 1))


@dataclass(frozen=True, kw_only=True)
class RunsList:
    """Lists the runs in a folder: state, best loss, speed and last checkpoint (short: ostinato runs FOLDER)."""

    folder: tyro.conf.Positional[Path] = Path()
    """Where to look, at any depth."""

    def run(self) -> None:
        """Prints one line for each run."""
        starting("looking for runs in %s", self.folder)
        from ostinato.train.runs import summarise_run

        cells = [
            [
                _name(run.workdir, self.folder),
                run.state,
                str(run.step),
                "" if run.best_loss is None else f"{run.best_loss:.4f} at {run.best_step}",
                "" if run.notes_per_s is None else f"{run.notes_per_s:,.0f}",
                "none" if run.saved_s is None else f"{run.saved_step}, {_ago(time.time() - run.saved_s)}",
            ]
            for run in map(summarise_run, _runs_in(self.folder))
        ]
        heading = ["run", "state", "step", "best validation loss", "notes/s", "last checkpoint"]
        print_table(str(self.folder), heading, cells, words=(0, 1))


@dataclass(frozen=True, kw_only=True)
class RunsPlot:
    """Draws the losses of the runs in a folder, in the terminal and as a picture."""

    folder: tyro.conf.Positional[Path] = Path()
    """Where to look, at any depth."""
    output: Path | None = None
    """The PNG; curves.png in the folder by default."""

    def run(self) -> None:
        """Draws the validation loss of each run, or the training loss where that has a single point."""
        starting("looking for runs in %s", self.folder)
        from ostinato.launch.curves import curve_in_text, write_curves
        from ostinato.train.metrics import FILE, read_lines

        curves = {}
        for workdir in _runs_in(self.folder):
            lines = [line for line in read_lines(workdir / FILE) if line.get("loss") is not None]
            train, validation = (
                [(line["step"], line["loss"]) for line in lines if line.get("split") == split]
                for split in ("train", "validation")
            )
            name = _name(workdir, self.folder)
            curves[name] = train, validation
            points, split = (validation, "validation") if len(validation) > 1 else (train, "training")
            if points:
                say(f"{name}: {split} loss in nats a row")
                width = min(100, shutil.get_terminal_size().columns) - 10
                print("\n".join(curve_in_text(points, width=width, height=HEIGHT_ROWS)))
        path = self.output or self.folder / PLOT
        write_curves(curves, path)
        say(f"{path} is written")


@dataclass(frozen=True, kw_only=True)
class RunsConfig:
    """Prints the configuration of a run as TOML: ostinato runs config RUN > run.toml.

    'ostinato train --config run.toml --workdir NEW' makes the same run again, to the same bits.
    """

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""

    def run(self) -> None:
        """Prints it."""
        starting("reading %s", self.workdir)
        from ostinato.configs.run_file import run_file_text
        from ostinato.train.run_metadata import config_from_json
        from ostinato.train.runs import show
        from ostinato.train.trackers import trackers_of

        state = show(self.workdir)
        found = {
            "dataset": [f"{one['path']}:{one['share']}" for one in (state["mixture"] or {"datasets": ()})["datasets"]]
            or (state["dataset"] or {}).get("path"),
            "init_from": (state["init_from"] or {}).get("workdir"),
            "old_dataset": (state["old_dataset"] or {}).get("path"),
            "track": trackers_of(self.workdir),
        }
        comment = (
            f"{self.workdir.resolve().name}, made by ostinato {state['versions']['ostinato']}: {state['step']} steps"
        )
        options = {name: value for name, value in found.items() if value}
        print(
            run_file_text(config_from_json(state["config"], where=f"{self.workdir}: config"), options, comment=comment),
            end="",
        )


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Looks at training runs."""

    command: (
        Annotated[RunsShow, tyro.conf.subcommand("show")]
        | Annotated[RunsList, tyro.conf.subcommand("list")]
        | Annotated[RunsPlot, tyro.conf.subcommand("plot")]
        | Annotated[RunsConfig, tyro.conf.subcommand("config")]
    )

    def run(self) -> None:
        """Does what is asked for."""
        self.command.run()


def _runs_in(folder: Path) -> list[Path]:
    from ostinato.train.runs import find_runs

    workdirs = find_runs(folder)
    if not workdirs:
        raise UserError(f"{folder}: no training run in it; run 'ostinato train' first")
    return workdirs


def _name(workdir: Path, folder: Path) -> str:
    return str(workdir.relative_to(folder)) if workdir != folder else workdir.resolve().name


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
