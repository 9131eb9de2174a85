"""ostinato demo: from nothing to music, through every stage, each as its own command would run it.

A stage that is already done is not done again.
"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from ostinato.beam_pipelines.prepare import prepare
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import SampleConfig
from ostinato.evaluation.tables import score_rows
from ostinato.launch.chorales import write_chorales
from ostinato.launch.commands import stages
from ostinato.launch.commands.evaluate import run_evaluation
from ostinato.launch.commands.show import print_table, show_manifest, spinner
from ostinato.train.run_metadata import CheckpointError
from ostinato.train.runs import show

_NUM_SAMPLES = 16
"""Pieces that are compared with real ones; evaluate itself takes twice as many."""


def demo(
    output: Path,
    *,
    midi: tuple[str, ...],
    preset: str,
    num_pieces: int,
    num_notes: int,
    temperature: float,
    seed: int,
) -> dict[str, Any]:
    """Runs prepare, train, sample and evaluate, and prints where everything is; returns the evaluation's report.

    Args:
        output: holds midi/ (the chorales), dataset/, run/, music/ and report/.
        midi: the user's own files; none takes the chorales.
        preset: name of the configuration.
        num_pieces, num_notes, temperature, seed: as for `ostinato sample`.
    """
    console = Console()
    config = PRESETS[preset]()
    dataset, run, music, report = (output / name for name in ("dataset", "run", "music", "report"))

    if not (dataset / "manifest.json").is_file():
        if not midi:
            console.rule("The Bach chorales as MIDI files")
            count = write_chorales(output / "midi")
            console.print(f"{output / 'midi'}: {count} four-part chorales", highlight=False)
        console.rule("Prepare")
        with spinner(f"preparing {dataset}"):
            manifest = prepare(list(midi) or [str(output / "midi")], dataset, config.prepare, [])
        show_manifest(dataset, manifest)
    if not _is_trained(run):
        console.rule("Train")
        stages.run_training(config.train, dataset, run)

    params_sha256 = show(run)["best_params_sha256"]
    wanted = {
        "params_sha256": params_sha256,
        "num_pieces": num_pieces,
        "num_notes": num_notes,
        "temperature": temperature,
        "seed": seed,
    }
    if not _made_before(music / "pieces.json", wanted):
        console.rule("Sample")
        sampling = SampleConfig(num_pieces=num_pieces, num_notes=num_notes, temperature=temperature, seed=seed)
        stages.run_sampling(sampling, run, music, inputs={}, checkpoint="best", audio="wav", soundfont=None)
    if not _made_before(report / "report.json", {"params_sha256": params_sha256}):
        console.rule("Evaluate")
        run_evaluation(run, dataset, report, num_samples=_NUM_SAMPLES)

    figures = json.loads((report / "report.json").read_text())
    console.rule("Done")
    print_table(f"On held-out music ({figures['held_out']} split)", *score_rows(figures, figures["held_out"]))
    for what, where in (
        ("Music", music / "index.html"),
        ("Report", report / "report.html"),
    ):
        console.print(f"{what:12} {where}", highlight=False, soft_wrap=True)
    return figures


def _is_trained(run: Path) -> bool:
    """Tells whether the run is complete; one that was stopped, even before its first checkpoint, goes on."""
    try:
        return show(run)["finished"]
    except CheckpointError:
        return False


def _made_before(path: Path, wanted: dict[str, Any]) -> bool:
    """Tells whether a result is there already and was made with the wanted values."""
    if not path.is_file():
        return False
    found = json.loads(path.read_text())
    if "pieces" in found:
        origin = found["pieces"][0]["origin"]
        found = {**origin, **origin["options"]}
    return all(found.get(name) == value for name, value in wanted.items())
