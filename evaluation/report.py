"""ostinato evaluate: what `measure` found, as report.json and as one page, report.html.

ostinato evaluate --workdir RUN --dataset DATASET --output FOLDER
"""

import json
from collections.abc import Callable, Set
from pathlib import Path, PurePath
from typing import Any

from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset, write_atomically
from ostinato.evaluation.measure import Wanted, measure_run
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.page import report_page
from ostinato.evaluation.page_listening import Listening


def evaluate_run(
    wanted: Wanted,
    dataset: Dataset,
    output: Path,
    *,
    counts: Callable[[], NgramCounts],
    index: Callable[[], CopyIndex],
    audio: bool,
    listening: Listening | None = None,
) -> dict[str, Any]:
    """Measures runs on every split of a dataset, writes report.json and report.html, and returns the report.

    The arguments are those of `measure_run`, which says what may go wrong; `audio` lets the page be heard, `listening`
    is what people said in a listening test.
    """
    report, music = measure_run(wanted, dataset, counts=counts, index=index)
    sources = {copy["source"] for found in report["originality"] for copy in found["generated"]["copies"]}
    names = piece_names(dataset, {*sources, *music.held_out.ids})
    if listening is not None:
        report["listening"] = listening.results
    page = report_page(report, music, names=names, with_audio=audio, listening=listening)
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / "report.html", page.encode())
    write_atomically(output / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    return report


def piece_names(dataset: Dataset, ids: Set[str]) -> dict[str, str]:
    """Returns the file names of some pieces by id, as far as the dataset lists them: one made in memory does not.

    Of a piece from an archive, which is written as archive!member, it is that of the member.
    """
    path = dataset.path / "pieces.jsonl"
    if not path.is_file():
        return {}
    with path.open() as lines:
        records = (json.loads(line) for line in lines)
        return {
            record["id"]: PurePath(record["path"].rpartition("!")[2]).name for record in records if record["id"] in ids
        }
