"""The results of a listening study, read back for the report of an evaluation."""

from pathlib import Path
from typing import Any, TypedDict

from ostinato.configs.documents import Count, read_document
from ostinato.configs.errors import UserError
from ostinato.evaluation.tables import Listening
from ostinato.listen.analysis import report as tables
from ostinato.listen.analysis.verdict import verdict


class _Study(TypedDict):
    title: str


class _Listeners(TypedDict):
    count: Count
    begun: Count


class Results(TypedDict):
    """What the report of an evaluation takes from results.json, beside its tables."""

    study: _Study
    listeners: _Listeners
    rule: str
    level: float
    conditions: list[str]
    main: dict[str, Any]


def read_listening(folder: Path) -> Listening:
    """Returns what `ostinato listen results` wrote, for the report of an evaluation.

    Raises:
        UserError: there are no results, or they cannot be read.
    """
    path = folder / tables.RESULTS_JSON
    if not path.is_file():
        raise UserError(f"{path}: No such file or directory; 'ostinato listen results' writes it")
    results: dict[str, Any] = dict(read_document(path, Results, is_python=True))
    count, begun = (results["listeners"][name] for name in ("count", "begun"))
    sentence = f"{results['study']['title']}: {count} listeners count, of {begun} who began."
    try:
        found, sentences = tables.finding_tables(results), verdict(results)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:  # of rows of another version
        raise UserError(f"{path}: a table in it is damaged ({type(error).__name__}: {error!s:.100})") from error
    return Listening(results, [sentence, *sentences, results["rule"]], found)
