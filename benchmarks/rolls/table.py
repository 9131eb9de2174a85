"""The two tables of the benchmark: what was measured here beside what is published, each column by itself."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from ostinato.benchmarks.rolls.read import FILES
from ostinato.benchmarks.rolls.recipes import Column

TITLES = {"jsb": "JSB", "nottingham": "Nottingham", "piano-midi": "Piano-midi", "musedata": "MuseData"}

HEADINGS: dict[Column, str] = {
    "frame": "Column A: independent keys (Bernoulli), nats per frame",
    "chord": "Column B: the keys of a frame one after the other, nats per frame",
}

PUBLISHED: dict[Column, dict[str, Mapping[str, float]]] = {
    "frame": {
        "LSTM (Chung et al. 2014)": {"jsb": 8.67},
        "LSTM (Bai et al. 2018)": {"jsb": 8.45, "nottingham": 3.29},
        "LSTM, tuned (Zakovskis et al. 2021)": {"jsb": 8.33, "nottingham": 3.25, "piano-midi": 7.54, "musedata": 7.24},
        "TCN (Bai et al. 2018)": {"jsb": 8.10, "nottingham": 3.07},
    },
    "chord": {
        "RNN-NADE (Boulanger-Lewandowski et al. 2012)": {
            "jsb": 5.19,
            "nottingham": 2.31,
            "piano-midi": 7.05,
            "musedata": 5.60,
        },
    },
}


class Result(NamedTuple):
    """One trained model, measured."""

    dataset: str
    column: Column
    seed: int
    recipe: str
    """All of it, as Python writes it."""
    epoch: int
    """The one that validated best."""
    valid_nats: float
    test_nats: float
    valid_frames: int
    test_frames: int
    num_parameters: int
    seconds: float


def markdown(results: Iterable[Result], baselines: Mapping[str, Mapping[str, float]], command: str) -> str:
    """Returns both tables, and under them what each of our numbers is made of.

    `baselines` are by name and then by data set, in nats per frame of the test split.
    """
    results = list(results)
    lines = [f"`{command}`", ""]
    for column, heading in HEADINGS.items():
        lines += [f"## {heading}", "", _row("", *TITLES.values()), _row("---", *("---:" for _ in TITLES))]
        for name, scores in baselines.items():
            lines.append(_row(name, *(_number(scores.get(dataset)) for dataset in FILES)))
        for name, scores in PUBLISHED[column].items():
            lines.append(_row(name, *(_number(scores.get(dataset)) for dataset in FILES)))
        ours = {dataset: [r for r in results if (r.dataset, r.column) == (dataset, column)] for dataset in FILES}
        lines.append(_row("**Ostinato**", *(_mean_and_spread(ours[dataset]) for dataset in FILES)))
        lines.append("")
    lines += ["## The models", "", *_details(results), ""]
    return "\n".join(lines)


def _mean_and_spread(results: Sequence[Result]) -> str:
    if not results:
        return "not run"
    nats = [result.test_nats for result in results]
    if len(nats) == 1:
        return f"**{nats[0]:.3f}** (1 seed)"
    return f"**{mean(nats):.3f}** ± {stdev(nats):.3f} ({len(nats)} seeds)"


def _details(results: Sequence[Result]) -> list[str]:
    header = ["data", "column", "seed", "validation", "test", "best epoch", "parameters", "minutes"]
    lines = [_row(*header), _row(*("---" for _ in header))]
    for result in results:
        lines.append(
            _row(
                TITLES[result.dataset],
                "A" if result.column == "frame" else "B",
                str(result.seed),
                f"{result.valid_nats:.4f}",
                f"{result.test_nats:.4f}",
                str(result.epoch),
                f"{result.num_parameters:,}",
                f"{result.seconds / 60:.1f}",
            )
        )
    recipes = dict.fromkeys((TITLES[r.dataset], r.column, r.recipe) for r in results)
    return [*lines, "", *(f"- {dataset}, {column}: `{recipe}`" for dataset, column, recipe in recipes)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
