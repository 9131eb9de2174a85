"""ostinato evaluate: what `measure` found, as report.json and as one page, report.html, that needs no network.

ostinato evaluate --workdir RUN --dataset DATASET --output FOLDER
"""

import json
from collections.abc import Callable, Mapping, Set
from pathlib import Path, PurePath
from typing import Any, TypedDict

from ostinato.configs.documents import read_lines
from ostinato.data.atomic import make_folder, write_atomically
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset, DatasetError
from ostinato.evaluation import plots, tables
from ostinato.evaluation.examples import choose_examples
from ostinato.evaluation.measure import EvaluationConfig, measure_run
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.samples import Music
from ostinato.evaluation.summary import headline, summary
from ostinato.report.templates import render
from ostinato.train.judge.file import FILE as JUDGE_FILE
from ostinato.train.judge.file import write_judge

_TEMPLATES = Path(__file__).parent / "templates"


class PieceLine(TypedDict):
    """A line of pieces.jsonl of a dataset."""

    id: str
    path: str


def evaluate_run(
    config: EvaluationConfig,
    dataset: Dataset,
    output: Path,
    *,
    counts: Callable[[], NgramCounts],
    index: Callable[[], CopyIndex],
    audio: bool,
    listening: tables.Listening | None = None,
) -> dict[str, Any]:
    """Measures runs on every split of a dataset, writes report.json and report.html, and returns the report.

    The judge of the first run, where there is one, is written beside them, for `ostinato sample --best-by judge`.

    The arguments are those of `measure_run`, which says what may go wrong; `audio` lets the page be heard, `listening`
    is what people said in a listening test.
    """
    report, music, judge = measure_run(config, dataset, counts=counts, index=index)
    if listening is not None:
        report["listening"] = listening.results
    sources = {copy["source"] for found in report["originality"] for copy in found["generated"]["copies"]}
    names = piece_names(dataset, {*sources, *music.held_out.ids})
    page = report_page(report, music, names=names, with_audio=audio, listening=listening)
    make_folder(output)
    write_atomically(output / "report.html", page.encode())
    if judge is None:
        (output / JUDGE_FILE).unlink(missing_ok=True)  # an earlier evaluation's
    else:
        write_judge(judge, output / JUDGE_FILE)
    write_atomically(output / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    return report


def report_page(
    report: dict[str, Any],
    music: Music,
    *,
    names: Mapping[str, str],
    with_audio: bool,
    listening: tables.Listening | None = None,
) -> str:
    """Returns the page of a report and its music; `names` are what pieces of the dataset are called, by id."""
    return render(
        _TEMPLATES,
        "report.html",
        report=report,
        split=report["held_out"],
        dataset=Path(report["dataset"]["path"]).name,
        runs=[run["name"] for run in report["runs"]],
        headline=headline(report),
        sentences=summary(report),
        tables=tables,
        plots=plots,
        names=names,
        pairs=choose_examples(music, names, report["two_sample"]),
        with_audio=with_audio,
        listening=listening,
    )


def piece_names(dataset: Dataset, ids: Set[str]) -> dict[str, str]:
    """Returns the file names of some pieces by id, as far as the dataset lists them: one made in memory does not.

    Of a piece from an archive, which is written as archive!member, it is that of the member.
    """
    path = dataset.fetch("pieces.jsonl")
    if not path.is_file():
        return {}
    records = (record for record in read_lines(path, PieceLine, error=DatasetError) if record["id"] in ids)
    return {record["id"]: PurePath(record["path"].rpartition("!")[2]).name for record in records}
