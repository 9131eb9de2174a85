"""Results as tables, as a page, as JSON and as CSV."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ostinato.data.atomic import make_folder, write_atomically
from ostinato.evaluation.tables import Rows
from ostinato.listen.analysis.plots import preference_plot, rating_plots
from ostinato.listen.analysis.responses import check, preferred, responses_of
from ostinato.listen.analysis.verdict import condition_name, verdict
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import SCALES, Comparison, Listener, Rating
from ostinato.report.templates import render

RESULTS_JSON, RESULTS_HTML, ANSWERS_CSV = "results.json", "results.html", "answers.csv"

_COLUMNS = (
    *(
        "listener",
        "number",
        "counts",
        "too_fast",
        "practice",
        "level",
        "playback",
        "task",
        "kind",
        "role",
        "repeats",
        "prompt",
    ),
    *("left", "right", "left_clip", "right_clip", "choice", "preferred", *SCALES, "played_ms_left", "played_ms_right"),
    *("took_s", "comment"),
)


def finding_tables(results: dict[str, Any], part: Literal["main", "all"] = "main") -> dict[str, Rows]:
    """Returns headings and cells of what was found, by title: for the terminal, and for `evaluate`'s report.

    `results` may be those of results.json; the part `all` is everybody's answers.
    """
    preference, ratings = results[part]["preference"], results[part]["ratings"]
    strengths = sorted(preference["strengths"] or [], key=lambda row: -row["strength"])
    mean_of = {(row["condition"], row["scale"]): row for row in ratings["means"]}
    differences: dict[str, list[str]] = {}
    for test in ratings["tests"]:  # scale by scale, as in SCALES
        name = f"{condition_name(test['first'])} less {condition_name(test['second'])}"
        difference = "-" if test["difference"] is None else f"{test['difference']:+.2f}"
        differences.setdefault(name, [name]).extend([difference, _p(test["p_holm"])])
    return {
        "Preference (log odds, intervals for all together)": (
            ["condition", "strength", f"{results['level']:.0%}"],
            [
                [
                    condition_name(row["condition"]),
                    *(f"{row['strength']:+.2f}", f"{row['low']:+.2f} to {row['high']:+.2f}"),
                ]
                for row in strengths
            ],
        ),
        "Comparisons": (
            ["which is better", "the first", "the second", "neither", "p (Holm)"],
            [
                [
                    f"{condition_name(row['first'])} or {condition_name(row['second'])}",
                    *(str(row[name]) for name in ("first_better", "second_better", "ties")),
                    _p(row.get("p_holm")),
                ]
                for row in preference["pairs"]
            ],
        ),
        "Ratings (1 to 5)": (
            ["condition", *SCALES],
            [
                [condition_name(name), *(_mean(mean_of[name, scale]) for scale in SCALES)]
                for name in results["conditions"]
            ],
        ),
        "Differences between ratings": (
            ["difference", *(name for scale in SCALES for name in (scale, "p (Holm)"))],
            list(differences.values()),
        ),
    }


def listener_rows(results: dict[str, Any]) -> Rows:
    """Returns headings and cells about listeners, checks and agreement."""
    listeners, checks, main = results["listeners"], results["checks"], results["main"]
    alphas = main["ratings"]["agreement"]
    lines = {
        "listeners who began": listeners["begun"],
        "of them, did not answer all tasks": checks["unfinished"],
        "of the others, excluded by the rule": checks["excluded"],
        "listeners who count": listeners["count"],
        "preferred the attention check": checks["chose_broken"],
        "rated the attention check too high": checks["rated_broken_high"],
        "played clips for too short a time": checks["did_not_listen"],
        **({"answered faster than the clips last": checks["too_fast"]} if "too_fast" in checks else {}),
        "repeats answered alike": f"{checks['repeats_alike']} of {checks['repeats']}",
        "answers that preferred neither": _share(main["preference"]["ties"]),
        "of the others, the left clip": _share(main["preference"]["left"]),
        "two listeners prefer the same of two clips": _share(main["preference"]["agreement"]),
        **{
            f"agreement on {scale} (Krippendorff's alpha)": "-" if alphas[scale] is None else f"{alphas[scale]:.2f}"
            for scale in SCALES
        },
        **{name: listeners[name] for name in ("refused", "withdrawn") if name in listeners},
    }
    return ["", "number"], [[name, str(value)] for name, value in lines.items()]


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
    make_folder(folder)
    write_atomically(folder / RESULTS_JSON, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(folder / RESULTS_HTML, page(results, problems).encode())
    write_atomically(folder / ANSWERS_CSV, answers_csv(study, listeners).encode())


def answers_csv(study: Study, listeners: Sequence[Listener]) -> str:
    """Returns every answer, checks too, one a line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for listener in listeners:
        checks = check(study, listener)
        about = {"listener": listener.name, "number": listener.number}
        about |= {"counts": int(checks.counts), "too_fast": int(checks.too_fast)}
        about |= vars(listener.training) if listener.training else {}
        for response in responses_of(study, listener):
            _, task, answer = response
            line = about | {"task": task.id, "comment": _harmless(answer.comment)}
            line |= {"took_s": listener.took_s.get(task.id, "")}
            line |= {name: getattr(task, name) for name in ("kind", "role", "repeats", "prompt")}
            line |= zip(("left", "right"), task.conditions, strict=False)
            line |= zip(("left_clip", "right_clip"), task.clip_ids, strict=False)
            line |= zip(("played_ms_left", "played_ms_right"), answer.played_ms, strict=False)
            if isinstance(answer, Comparison):
                line |= {"choice": answer.choice, "preferred": preferred(response)}
            elif isinstance(answer, Rating):
                line |= {scale: getattr(answer, scale) for scale in SCALES}
            writer.writerow(line)
    return buffer.getvalue()


def page(results: dict[str, Any], problems: Sequence[str] = ()) -> str:
    """Returns one self-contained HTML page."""
    return render(
        Path(__file__).parent / "templates",
        "results.html",
        results=results,
        verdict=verdict(results),
        preference_plot=preference_plot(results),
        rating_plots=rating_plots(results),
        tables=list(finding_tables(results).values()),
        everybody=list(finding_tables(results, "all").values()),
        listeners=listener_rows(results),
        needed=needed_lines(results),
        problems=problems,
    )


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
