"""The card of a model, as the Hub shows it: README.md with YAML on top.

Figures come from the run and from the report of `ostinato evaluate`; words from a person's file of facts.
"""

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ostinato.configs.documents import check_document, read_document
from ostinato.configs.errors import UserError
from ostinato.configs.schema import TrainConfig
from ostinato.evaluation import tables
from ostinato.pretrained.facts import Facts
from ostinato.report.text import printable

TAGS = ("music", "midi", "symbolic-music", "music-generation", "jax", "lstm")
THIS = "this model"
_TEMPLATES = Path(__file__).parent / "templates"
_REPORTED = ("params_sha256", "runs", "held_out", "splits", "statistics", "originality", "command")


class CardError(UserError):
    """A report that says nothing about the model, or cannot be read."""


class ReportedRun(TypedDict):
    """A run that was measured."""

    name: str
    params_sha256: str


class Row(TypedDict):
    """A line of a table of a report, or more; `evaluation.tables` knows the rest."""

    name: str


class Report(TypedDict):
    """What a card takes from report.json."""

    params_sha256: str
    runs: list[ReportedRun]
    held_out: str
    splits: dict[str, list[Row]]
    statistics: list[Row]
    originality: list[Row]
    command: str


class Measured(NamedTuple):
    """What a report says about one model."""

    command: str
    held_out: str
    is_as_stored: bool
    """The parameters were measured as they are stored, not before they were rounded."""
    sentences: list[str]
    scores: str
    """Tables in Markdown."""
    structure: str
    originality: str
    longest: str
    """Whether its longest run from the training split is above that of held-out music."""


def read_report(path: Path) -> dict[str, Any]:
    """Returns a report.json.

    Raises:
        CardError: it is none.
    """
    report = read_document(path, dict[str, Any], error=CardError, is_python=True)
    if missing := [name for name in _REPORTED if name not in report]:
        raise CardError(f"{path}: not a report of 'ostinato evaluate': {', '.join(missing)} is missing")
    return dict(check_document(report, Report, where=path, error=CardError))


def model_card(config: Mapping[str, Any], recipe: TrainConfig, facts: Facts, report: dict[str, Any] | None) -> str:
    """Returns the text of README.md.

    Args:
        config: what config.json says of the model.
        recipe: its configuration.
        facts: what a person says about it.
        report: of `ostinato evaluate`; None where it was not evaluated.

    Raises:
        CardError: the report speaks of other parameters.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) and "\n" not in value else value,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    return environment.get_template("card.md").render(
        config=config,
        run=config["run"],
        music={"name": "", "splits": {}, **(config["run"].get("music") or {})},
        recipe=recipe,
        settings=_settings(recipe),
        facts=facts,
        front=_front(facts),
        measured=None if report is None else _understood(config, report),
        duration=_duration(config.get("training_s")),
    )


def _front(facts: Facts) -> dict[str, Any]:
    """Returns the YAML on top; JSON's values are YAML too."""
    front: dict[str, Any] = {"library_name": "ostinato", "tags": [*TAGS, *facts.tags]}
    if facts.licence:
        front["license"] = facts.licence.lower()
    if facts.data.name:
        front["datasets"] = [facts.data.name]
    return {name: json.dumps(value, ensure_ascii=False) for name, value in sorted(front.items())}


def _settings(recipe: TrainConfig) -> list[str]:
    """Returns the options of `ostinato train` that are not as they are by default."""
    found = []
    for part, default in (("", TrainConfig()), *((f"{name}.", getattr(TrainConfig(), name)) for name in _PARTS)):
        now = getattr(recipe, part.rstrip(".")) if part else recipe
        for one in dataclasses.fields(default):
            value = getattr(now, one.name)
            if dataclasses.is_dataclass(value) or value == getattr(default, one.name):
                continue
            name = f"{part}{one.name}".replace("_", "-")
            if isinstance(value, bool):
                name, value = (name if value else f"{part}no-{one.name}".replace("_", "-")), ""
            found.append(f"--{name} {value}".rstrip())
    return found


_PARTS = ("model", "data", "optimizer", "adversary")


def _measured(config: Mapping[str, Any], report: dict[str, Any]) -> Measured:
    mine = {config["params_sha256"], config["run"]["params_sha256"]}
    runs = [run for run in report["runs"] if run["params_sha256"] in mine]
    if not runs:
        has = ", ".join(run["params_sha256"][:16] for run in report["runs"])
        raise CardError(
            f"--report speaks of the parameters {has}, and the model has {config['run']['params_sha256'][:16]}: "
            "evaluate this checkpoint"
        )
    name, split = runs[0]["name"], report["held_out"]
    others = {run["name"] for run in report["runs"]} - {name}
    statistics = [found for found in report["statistics"] if found["name"] == name]
    structure = [
        tables.feature_rows(found, tables.groups_of(list(found["features"]))["structure"]) for found in statistics
    ]
    mine_alone = {
        "splits": {split: _without(others, report["splits"][split], name)},
        "originality": _without(others, report["originality"], name),
    }
    return Measured(
        command=_without_paths(report["command"]),
        held_out=split,
        is_as_stored=runs[0]["params_sha256"] == config["params_sha256"],
        sentences=[_statistics_sentence(found) for found in statistics],
        scores=_table(*tables.score_rows(mine_alone, split)),
        structure="".join(_table(*rows) for rows in structure),
        originality=_table(*tables.originality_rows(mine_alone)),
        longest=_longest(next((found for found in report["originality"] if found["name"] == name), None)),
    )


def _understood(config: Mapping[str, Any], report: dict[str, Any]) -> Measured:
    try:
        return _measured(config, report)
    except CardError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:  # of rows of another version
        raise CardError(f"--report: a table in it is damaged ({type(error).__name__}: {error!s:.100})") from error


def _without(others: Set[str], rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Returns the rows of a model and of the baselines."""
    return [{**row, "name": THIS if row["name"] == name else row["name"]} for row in rows if row["name"] not in others]


def _without_paths(command: str) -> str:
    """Returns a command with the names of folders alone: where they were is nobody's business."""
    return shlex.join(Path(word).name if "/" in word else word for word in shlex.split(command))


def _statistics_sentence(found: Mapping[str, Any]) -> str:
    pieces = found["pieces"]
    said = f"{pieces['generated']} pieces of the model beside {pieces['real']} held-out ones"
    if "generated" in found["frechet"]:
        ours, real = found["frechet"]["generated"], found["frechet"]["control"]
        said += f": Fréchet distance {ours:.1f}, where real music is {real:.1f} from itself"
    return f"{said}."


def _longest(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "What the model's pieces share with the training music was not measured."
    ours, human = (found[who]["longest_notes"]["largest"] for who in ("generated", "held_out"))
    verdict = "above" if ours > human else "not above"
    return (
        f"The longest run of notes that a piece of the model shares with the training music, in any key and tempo, has "
        f"{ours:.0f} notes, the longest of held-out music {human:.0f}: the model's is **{verdict}** that. "
        f"{100 * found['beyond_human']:.0f} % of its pieces copy more than 95 % of the held-out ones do, where 5 % is "
        "ordinary."
    )


def _table(heading: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown; nothing where it has no rows."""
    if not cells:
        return ""
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *cells]
    return "".join(f"| {' | '.join(printable(cell).replace('|', '/') for cell in line)} |\n" for line in lines)


def _duration(seconds: float | None) -> str:
    if not seconds:
        return "not known"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
