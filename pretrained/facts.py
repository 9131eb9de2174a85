"""What a model card says that neither a run nor a report knows: a TOML file written by a person.

name = "chorales"                  # by default that of the folder
summary = "Four-part chorales"     # one line
licence = "CC-BY-4.0"              # of the model; an SPDX identifier
tags = ["chorales"]                # beside music, midi and the like
limits = ["Knows four voices and one tempo."]
cite = "…"                         # how to cite the model

[data]
name = "JS Fake Chorales"
url = "https://github.com/omarperacha/js-fakes"
licence = "CC BY 4.0"
attribution = "Omar Peracha, JS Fake Chorales (2021)"
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostinato.configs.documents import ANYWHERE, parse_toml, read_bounded
from ostinato.configs.errors import UserError


class FactsError(UserError):
    """A file of facts that cannot be understood."""


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Where the training music is from."""

    name: str = ""
    url: str = ""
    licence: str = ""
    attribution: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The module docstring says what each of them is."""

    name: str = ""
    summary: str = ""
    licence: str = ""
    tags: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    cite: str = ""
    data: DataFacts = field(default_factory=DataFacts)


def read_facts(path: Path) -> Facts:
    """Returns what a file says.

    Raises:
        FactsError: it is not TOML, has a key that is not known, or a value of another type.
    """
    data = read_bounded(path, error=FactsError, folder=ANYWHERE)
    facts = dict(_checked(path, Facts, parse_toml(data, where=path, error=FactsError)))
    facts["data"] = DataFacts(**_checked(path, DataFacts, facts.get("data", {}), prefix="data."))
    return Facts(**facts)


def _checked(path: Path, kind: type, values: Any, *, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        raise FactsError(f"{path}: {prefix.rstrip('.')} must be a table")
    fields = {one.name: one.type for one in dataclasses.fields(kind)}
    checked = {}
    for name, value in values.items():
        if name not in fields:
            raise FactsError(f"{path}: {prefix}{name} is not one of {', '.join(prefix + known for known in fields)}")
        if name in ("tags", "limits"):
            if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
                raise FactsError(f"{path}: {prefix}{name} must be a list of texts, not {value!r}")
            checked[name] = tuple(value)
        elif fields[name] is str:
            if not isinstance(value, str) or not value.strip():
                raise FactsError(f"{path}: {prefix}{name} must be text, not {value!r}")
            if name == "summary" and "\n" in value.strip():
                raise FactsError(f"{path}: summary must be one line")
            checked[name] = value.strip()
        else:
            checked[name] = value
    return checked
