"""A run as a model folder with its card: `ostinato export RUN FOLDER --format model`."""

from pathlib import Path
from typing import Any

from ostinato.data.atomic import filled_folder
from ostinato.pretrained.card import model_card, read_report
from ostinato.pretrained.facts import Facts, read_facts
from ostinato.train.folders import CARD, CONFIG
from ostinato.train.loaded_run import LoadedRun
from ostinato.train.model_folder import StoredType, write_model
from ostinato.train.runs import training_seconds


def write_model_folder(
    run: LoadedRun,
    folder: Path,
    *,
    name: str,
    source: Path,
    facts: Path | None = None,
    report: Path | None = None,
    stored: StoredType = "float32",
) -> dict[str, Any]:
    """Writes parameters, config.json and the model card, and returns what config.json says.

    Args:
        run: the model.
        folder: for the files; those of an older model in it are replaced.
        name: of the model, where the facts have none.
        source: the folder that the run was loaded from, whose log says how long the training took.
        facts: a TOML file, see `pretrained.facts`.
        report: report.json of `ostinato evaluate`, about the parameters of the run or as they are stored.
        stored: how parameters are stored.

    Raises:
        UserError: a file is missing or damaged, the report speaks of another model, or the folder cannot be written to.
    """
    said = Facts() if facts is None else read_facts(facts)
    found = None if report is None else read_report(report)
    about = {
        "name": said.name or name,
        "summary": said.summary,
        "licence": said.licence,
        "data": {"name": said.data.name, "licence": said.data.licence, "url": said.data.url},
        "training_s": run.description.get("training_s") or training_seconds(source),
    }
    with filled_folder(folder, last=CONFIG) as partial:
        config = write_model(run, partial, about=about, stored=stored)
        (partial / CARD).write_bytes(model_card(config, run.config, said, found).encode())
    return config
