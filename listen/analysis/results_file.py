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
    count, begun = (results["listeners"][name] for name in ("count", "begun"))
    sentence = f"{results['study']['title']}: {count} listeners count, of {begun} who began."
    return Listening(results, [sentence, results["rule"]], tables.finding_tables(results))
