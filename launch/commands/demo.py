"""`ostinato demo`: from nothing to music, through every stage, each as its own command runs it."""

import importlib.util
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ostinato.configs.errors import UserError
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import SampleConfig
from ostinato.configs.studio import StudioConfig
from ostinato.launch.commands.evaluate import Evaluate
from ostinato.launch.commands.prepare import Prepare
from ostinato.launch.commands.sample import Sample
from ostinato.launch.commands.show import print_table, say, spinner, starting
from ostinato.launch.commands.train import Train

if TYPE_CHECKING:
    from rich.console import Console

_BOXED = "chorales"
"""Whose pieces are heard first; else those of the first model in the box."""
_NUM_BOXED, _BARS_BOXED = 3, 16
"""Pieces of it, and bars of each."""

_NUM_SAMPLES = 16
"""Pieces that are compared with real ones; evaluate itself takes twice as many."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Runs everything on real music: prepare, train, sample and evaluate; starts where an earlier demo stopped.

    Before that, a trained model in the box plays, if there is one; at the end the studio opens, if there is a display.
    """

    output: Path = Path("demo")
    """Folder for all that the demo makes."""
    midi: tuple[str, ...] = ()
    """Your own files, folders, globs or zip archives instead of the Bach chorales."""
    preset: Literal["chorales", "debug", "paper", "lakh"] = "chorales"
    """The configuration of prepare and train."""
    num_pieces: int = 8
    """Pieces to generate."""
    num_notes: int = 256
    """Notes in each piece; 0 lets the model end it."""
    temperature: float = 0.95
    """Below 1 is safer, above 1 is bolder."""
    seed: int = 0
    """Seed of the new pieces."""

    def run(self) -> None:
        """Runs each stage that is not done yet, in folders of `output`, and prints where everything is."""
        config = PRESETS[self.preset]()
        options = {name: getattr(self, name) for name in ("num_pieces", "num_notes", "temperature", "seed")}
        sampling = SampleConfig(**options)  # a wrong one is told before all that takes time
        starting("prepare, train, sample and evaluate in %s; what is done there is not done again", self.output)
        from rich.console import Console

        from ostinato.evaluation.tables import score_rows
        from ostinato.launch.chorales import chorale_folder, write_chorales
        from ostinato.train.runs import show

        console = Console()
        midi, dataset, run, music, report = (
            self.output / name for name in ("midi", "dataset", "run", "music", "report")
        )
        if not self.midi and not (dataset / "manifest.json").is_file():
            chorale_folder()  # what carries them is missing: said before all that takes time
        self._play_boxed_model(self.output / "first", console)
        if not (dataset / "manifest.json").is_file():
            if not self.midi:
                console.rule("The Bach chorales as MIDI files")
                with spinner("reading the scores that music21 carries"):
                    num_chorales = write_chorales(midi)
                say(f"{midi}: {num_chorales} four-part chorales")
            console.rule("Prepare")
            Prepare(midi=self.midi or (str(midi),), output=str(dataset), config=config.prepare).run()
        if not _is_trained(run):
            console.rule("Train")
            Train(dataset=(str(dataset),), workdir=run, config=config.train).run()

        made_by = {"params_sha256": show(run)["best_params_sha256"]}
        if not _made_before(music / "pieces.json", made_by | options):
            console.rule("Sample")
            Sample(workdir=run, output=music, config=sampling).run()
        if not _made_before(report / "report.json", made_by):
            console.rule("Evaluate")
            Evaluate(workdir=run, dataset=dataset, output=report, num_samples=_NUM_SAMPLES).run()
        else:
            figures = json.loads((report / "report.json").read_text())
            print_table(f"On held-out music ({figures['held_out']} split)", *score_rows(figures, figures["held_out"]))

        console.rule("Done")
        say(f"{'Music':12} {music / 'index.html'}")
        say(f"{'Report':12} {report / 'report.html'}")
        say(f"{'Studio':12} ostinato studio {shlex.quote(str(run))}")
        if _is_watched():
            from ostinato.launch.commands.studio import Studio

            Studio(workdir=run, config=StudioConfig(port=0, show=True)).run()

    def _play_boxed_model(self, output: Path, console: "Console") -> None:
        """Writes pieces of a trained model, to be heard while another one is trained."""
        from ostinato.pretrained.models import list_models

        boxed = {model.name: model for model in list_models() if model.is_in_box}
        if not boxed:
            return
        model = boxed.get(_BOXED) or next(iter(boxed.values()))
        config = SampleConfig(num_pieces=_NUM_BOXED, num_bars=_BARS_BOXED, seed=self.seed)
        wanted = {"num_pieces": config.num_pieces, "num_bars": config.num_bars, "seed": config.seed}
        if not _made_before(output / "pieces.json", wanted | {"params_sha256": model.config["params_sha256"]}):
            console.rule(f"A trained model in the box: {model.name}")
            Sample(model=model.name, output=output, config=config).run()
        say(f"Hear it while yours is trained: {output / 'index.html'}")


def _is_watched() -> bool:
    """Tells whether somebody is at a terminal with a display, and what the studio needs is installed."""
    has_display = sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ))
    return has_display and sys.stdout.isatty() and importlib.util.find_spec("uvicorn") is not None


def _is_trained(run: Path) -> bool:
    """Tells whether the run is complete; one that was stopped, even before its first checkpoint, goes on."""
    from ostinato.train.run_metadata import CheckpointError
    from ostinato.train.runs import show

    try:
        return show(run)["finished"]
    except CheckpointError:
        return False


class _Origin(TypedDict):
    options: dict[str, Any]


class _Piece(TypedDict):
    origin: _Origin


class _Made(TypedDict, total=False):
    pieces: list[_Piece]


def _made_before(path: Path, wanted: dict[str, Any]) -> bool:
    """Tells whether a result is there already and was made with the wanted values."""
    from ostinato.configs.documents import read_document

    if not path.is_file():
        return False
    try:
        found: dict[str, Any] = dict(read_document(path, _Made, is_python=True))
    except UserError:
        return False  # it is made again
    for piece in found.get("pieces", [])[:1]:
        found = {**piece["origin"], **piece["origin"]["options"]}
    return all(found.get(name) == value for name, value in wanted.items())
