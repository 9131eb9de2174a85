"""The results of a listening study, read back for the report of an evaluation."""

import json
from pathlib import Path

from ostinato.configs.errors import UserError
from ostinato.evaluation.tables import Listening
from ostinato.listen.analysis import report as tables


def read_listening(folder: Path) -> Listening:
    """Returns what `ostinato listen results` wrote, for the report of an evaluation.

    Raises:
        UserError: there are no results, or they cannot be read.
    """
    path = folder / tables.RESULTS_JSON
    try:
        results = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; 'ostinato listen results' writes it") from None
    except ValueError as error:
        raise UserError(f"{path}: is not JSON ({error})") from None
    said = results["listeners"]
    return Listening(
        results,
        [
            f"{results['study']['title']}: {said['count']} listeners count, of {said['begun']} who began.",
            results["rule"],
        ],
        tables.finding_tables(results),
    )
