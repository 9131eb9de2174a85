"""The plots of a study's results: what was found, with confidence intervals."""

from typing import Any

from markupsafe import Markup

from ostinato.listen.analysis.verdict import condition_name
from ostinato.listen.design.order import HUMAN
from ostinato.listen.web.answer import SCALES
from ostinato.report.plots import FIRST, SECOND, Estimate, interval_plot


def preference_plot(results: dict[str, Any]) -> Markup:
    """Returns the strength of each condition, the strongest first; nothing where there are none yet."""
    rows = sorted(results["main"]["preference"]["strengths"] or [], key=lambda row: -row["strength"])
    if not rows:
        return Markup()
    said = "; ".join(f"{condition_name(row['condition'])} {row['strength']:+.2f}" for row in rows)
    return interval_plot(
        [_estimate(row["condition"], row["strength"], row["low"], row["high"]) for row in rows],
        name="preference",
        label=f"Strength of each condition with {results['level']:.0%} intervals: {said}.",
        x_label="log odds of being preferred; more is better",
    )


def rating_plots(results: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Returns each scale with the mean points of each condition, as far as anybody gave any."""
    plots = []
    for scale in SCALES:
        rows = [row for row in results["main"]["ratings"]["means"] if row["scale"] == scale and row["mean"] is not None]
        if rows:
            said = "; ".join(f"{condition_name(row['condition'])} {row['mean']:.2f}" for row in rows)
            svg = interval_plot(
                [_estimate(row["condition"], row["mean"], row["low"], row["high"]) for row in rows],
                name=f"rating-{scale}",
                label=f"Mean points for {scale} with {results['level']:.0%} intervals: {said}.",
                x_label="points from 1 to 5",
                scale=(1, 5),
            )
            plots.append((scale, svg))
    return plots


def _estimate(condition: str, value: float, low: float, high: float) -> Estimate:
    return Estimate(condition_name(condition), value, (low, high), SECOND if condition == HUMAN else FIRST)
