"""Results as tables, as a page, as JSON and as CSV."""

import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato.data.records import write_atomically
from ostinato.evaluation.tables import Rows
from ostinato.listen.analysis.responses import check, told_by
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import SCALES, Comparison, Listener, Rating
from ostinato.report.style import PAGE_STYLE

RESULTS_JSON, RESULTS_HTML, ANSWERS_CSV = "results.json", "results.html", "answers.csv"

_COLUMNS = (
    *("listener", "number", "counts", "practice", "level", "playback", "task", "kind", "role", "repeats", "prompt"),
    *("left", "right", "left_clip", "right_clip", "choice", "preferred", *SCALES, "played_ms_left", "played_ms_right"),
    "comment",
)


def listen_rows(results: dict[str, Any], part: str = "main") -> Rows:
    """Returns headings and cells of the strengths: a section of `evaluate`'s report, and of ours.

    Args:
        results: as `summarise` returns them, or results.json.
        part: `main`, or `all` for everybody's answers.
    """
    strengths = results[part]["preference"]["strengths"] or []
    cells = [
        [row["condition"], f"{row['strength']:+.2f}", f"{row['low']:+.2f} to {row['high']:+.2f}"]
        for row in sorted(strengths, key=lambda row: -row["strength"])
    ]
    return ["condition", "strength", f"{results['level']:.0%}"], cells


def pair_rows(results: dict[str, Any], part: str = "main") -> Rows:
    """Returns headings and cells of the comparisons, one line for each two conditions."""
    cells = [
        [
            f"{row['first']} or {row['second']}",
            str(row["first_better"]),
            str(row["second_better"]),
            str(row["ties"]),
            _p(row.get("p_holm")),
        ]
        for row in results[part]["preference"]["pairs"]
    ]
    return ["which is better", "the first", "the second", "neither", "p (Holm)"], cells


def rating_rows(results: dict[str, Any], part: str = "main") -> Rows:
    """Returns headings and cells of the ratings, one line for each condition."""
    cells = []
    for condition in results["conditions"]:
        of_scale = {row["scale"]: row for row in results[part]["ratings"]["means"] if row["condition"] == condition}
        cells.append([condition, *(_mean(of_scale[scale]) for scale in SCALES)])
    return ["condition", *SCALES], cells


def difference_rows(results: dict[str, Any], part: str = "main") -> Rows:
    """Returns headings and cells of the differences between ratings, one line for each two conditions."""
    cells = []
    for first, second in dict.fromkeys((row["first"], row["second"]) for row in results[part]["ratings"]["tests"]):
        row = [f"{first} less {second}"]
        for scale in SCALES:
            (test,) = (
                test
                for test in results[part]["ratings"]["tests"]
                if (test["scale"], test["first"], test["second"]) == (scale, first, second)
            )
            difference = "-" if test["difference"] is None else f"{test['difference']:+.2f}"
            row += [difference, _p(test["p_holm"])]
        cells.append(row)
    return ["difference", *(name for scale in SCALES for name in (scale, "p (Holm)"))], cells


def finding_tables(results: dict[str, Any]) -> dict[str, Rows]:
    """Returns headings and cells of what was found, by title: for the terminal, and for `evaluate`'s report."""
    return {
        "Preference (log odds, intervals for all together)": listen_rows(results),
        "Comparisons": pair_rows(results),
        "Ratings (1 to 5)": rating_rows(results),
        "Differences between ratings": difference_rows(results),
    }


def listener_rows(results: dict[str, Any]) -> Rows:
    """Returns headings and cells about listeners, checks and agreement."""
    listeners, checks, main = results["listeners"], results["checks"], results["main"]
    lines = [
        ("listeners who began", listeners["begun"]),
        ("of them, did not answer all tasks", checks["unfinished"]),
        ("of the others, excluded by the rule", checks["excluded"]),
        ("listeners who count", listeners["count"]),
        ("preferred the broken clip", checks["chose_broken"]),
        ("rated the broken clip too high", checks["rated_broken_high"]),
        ("played clips for too short a time", checks["did_not_listen"]),
        ("repeats answered alike", f"{checks['repeats_alike']} of {checks['repeats']}"),
        ("answers that preferred neither", _share(main["preference"]["ties"])),
        ("of the others, the left clip", _share(main["preference"]["left"])),
        ("two listeners prefer the same of two clips", _share(main["preference"]["agreement"])),
    ]
    for scale in SCALES:
        alpha = main["ratings"]["agreement"][scale]
        lines.append((f"agreement on {scale} (Krippendorff's alpha)", "-" if alpha is None else f"{alpha:.2f}"))
    for name in ("refused", "withdrawn"):
        if name in listeners:
            lines.append((name, listeners[name]))
    return ["", "number"], [[name, str(value)] for name, value in lines]


def needed_lines(results: dict[str, Any]) -> list[str]:
    """Returns sentences that say how many listeners are needed."""
    needed = results["needed"]
    basis = "assumed" if needed["assumed"] else "seen here"
    return [
        f"To see a preference of {needed['effect']:.0%} to {1 - needed['effect']:.0%} between two conditions with a "
        f"chance of {needed['power']:.0%}: {needed['preference']} listeners who count, "
        f"{needed['preference_more']} more than now ({needed['tie_share']:.0%} ties).",
        f"To see a difference of {needed['points']:g} points in a rating: {needed['ratings']} listeners, "
        f"{needed['ratings_more']} more than now (a deviation of {needed['deviation']:.2f} points, {basis}).",
    ]


def write_results(
    folder: Path, study: Study, results: dict[str, Any], listeners: Sequence[Listener], problems: Sequence[str]
) -> None:
    """Writes results.json, results.html and answers.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RESULTS_JSON, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(folder / RESULTS_HTML, page(results, problems).encode())
    write_atomically(folder / ANSWERS_CSV, answers_csv(study, listeners).encode())


def answers_csv(study: Study, listeners: Sequence[Listener]) -> str:
    """Returns every answer, checks too, one a line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for listener in listeners:
        counts = check(study, listener).counts
        for row in told_by(study, listener):
            sides = dict(zip(("left", "right"), row.task.conditions, strict=False))
            clips = dict(zip(("left_clip", "right_clip"), row.task.clip_ids, strict=False))
            played = dict(zip(("played_ms_left", "played_ms_right"), row.answer.played_ms, strict=False))
            training = listener.training
            line: dict[str, Any] = {
                "listener": listener.name,
                "number": listener.number,
                "counts": int(counts),
                "practice": training.practice if training else "",
                "level": training.level if training else "",
                "playback": training.playback if training else "",
                "task": row.task.id,
                "kind": row.task.kind,
                "role": row.task.role,
                "repeats": row.task.repeats,
                "prompt": row.task.prompt,
                "comment": _harmless(row.answer.comment),
            }
            if isinstance(row.answer, Comparison):
                line["choice"] = row.answer.choice
                line["preferred"] = {"a": sides["left"], "b": sides["right"], "none": ""}[row.answer.choice]
            elif isinstance(row.answer, Rating):
                line |= {scale: getattr(row.answer, scale) for scale in SCALES}
            writer.writerow(line | sides | clips | played)
    return buffer.getvalue()


def page(results: dict[str, Any], problems: Sequence[str] = ()) -> str:
    """Returns one self-contained HTML page."""
    study = results["study"]
    preference = results["main"]["preference"]
    reason = "" if preference["strengths"] else f"<p>No strengths yet: {html.escape(preference['reason'])}.</p>"
    left_out = "".join(f"<p>Left out: {html.escape(problem)}</p>" for problem in problems)
    needed = "".join(f"<p>{html.escape(line)}</p>" for line in needed_lines(results))
    everybody = "".join(_html_table(rows(results, "all")) for rows in (listen_rows, pair_rows, rating_rows))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(study["title"])}: results</title>
<style>{PAGE_STYLE}
table {{ border-collapse: collapse; margin: 0 0 1.5rem }}
td, th {{ padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line) }}
td:first-child, th:first-child {{ text-align: left }}
.wide {{ overflow-x: auto }}
</style>
<main>
<h1>{html.escape(study["title"])}</h1>
<p class="lead">{results["listeners"]["count"]} listeners count, of {results["listeners"]["begun"]} who began.
Clips of {study["clip_s"]:g} s; the study was made on {html.escape(study["created"])}.</p>
<h2>Preference</h2>
<p>Strengths by Bradley and Terry, with ties by Davidson, in log odds; all add up to 0. Of two conditions that differ by
1 the stronger is preferred 2.7 times as often. With a confidence of {results["level"]:.0%} all intervals hold at the
same time. They allow for answers of one listener, and about one beginning, being alike.</p>
{reason}{_html_table(listen_rows(results))}{_html_table(pair_rows(results))}
<h2>Ratings</h2>
<p>Points from 1 to 5: the mean of the listeners' own means, with a bootstrap interval over listeners. Differences
within listeners are tested by Wilcoxon's signed-rank test; p values are corrected by Holm for all of them.</p>
{_html_table(rating_rows(results))}{_html_table(difference_rows(results))}
<h2>Listeners</h2>
<p>{html.escape(results["rule"])}</p>
{_html_table(listener_rows(results))}{left_out}
<h2>How many more</h2>
{needed}
<h2>With everybody's answers</h2>
<p>The same without leaving anybody out.</p>
{everybody}
</main>
</html>
"""


def _html_table(table: Rows) -> str:
    heading, cells = table
    if not cells:
        return ""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _harmless(comment: str) -> str:
    """Returns a comment that no spreadsheet takes for a formula."""
    return f"'{comment}" if comment[:1] in ("=", "+", "-", "@", "\t", "\r") else comment


def _mean(row: dict[str, Any]) -> str:
    return "-" if row["mean"] is None else f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
