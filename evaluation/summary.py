"""What an evaluation found, in sentences and a few large figures: the same in the terminal and on top of the page."""

from typing import Any

from ostinato.evaluation.baselines.simple import STRONGEST
from ostinato.evaluation.tables import farthest, interval

BASELINE = "the 4-gram"
"""What people read for STRONGEST."""


def summary(report: dict[str, Any]) -> list[str]:
    """Returns a sentence on each of likelihood, statistics and originality, and what could not be measured."""
    lines = [_likelihood_line(report)]
    lines += [_statistics_line(found) for found in report["statistics"][:1]]
    judged = report["two_sample"] or {"writers": [], "notices": []}
    lines += [_judge_line(judged, found) for found in judged["writers"][:1]]
    lines += [_originality_line(found) for found in report["originality"][:1]]
    return lines + [f"{notice[0].upper()}{notice[1:]}." for notice in (*report["notices"], *judged["notices"])]


def headline(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Returns the figures that matter most: name, value, and what stands below it."""
    score, against = _of_held_out(report)
    nats, bounds = f"{score['nats_per_note']:.3f}", score["nats_per_note_interval"]
    share, shares = _percent(against["share_less"], 1), against["share_less_interval"]
    figures = [
        (f"nats per note, {report['held_out']}", nats, f"95 %: {interval(bounds, '.3f')}" if bounds else ""),
        (f"NLL reduction over {BASELINE}", share, f"95 %: {_percent_interval(shares)}" if shares else ""),
    ]
    for found in report["statistics"][:1]:
        if "generated" in (frechet := found["frechet"]):
            note = f"{frechet['control']:.1f} real from real"
            figures.append(("Fréchet distance", f"{frechet['generated']:.1f}", note))
    for found in report["originality"][:1]:
        figures.append(("copy more than human music", _percent(found["beyond_human"]), "5 % is ordinary"))
    return figures


def _of_held_out(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the score of the run, and how it compares with the longest Markov chain."""
    split = report["held_out"]
    return report["splits"][split][0], next(row for row in report["comparisons"][split] if row["against"] == STRONGEST)


def _likelihood_line(report: dict[str, Any]) -> str:
    split = report["held_out"]
    score, against = _of_held_out(report)
    bounds, share, shares = score["nats_per_note_interval"], against["share_less"], against["share_less_interval"]
    if shares and share < 0:
        shares = [-shares[1], -shares[0]]
    what = "pieces that it has been trained on" if split == "train" else f"held-out pieces ({split} split)"
    comparison = f"{_percent(abs(share), 1)} {'less' if share >= 0 else 'more'} than {BASELINE}"
    return (
        f"{score['name']} needs {score['nats_per_note']:.3f} nats per note"
        + (f" (95 %: {interval(bounds, '.3f')})" if bounds else "")
        + f" on {score['pieces']:,} {what}: {comparison}"
        + (f" (95 %: {_percent_interval(shares)})." if shares else ".")
    )


def _statistics_line(found: dict[str, Any]) -> str:
    """Returns how far the pieces of a writer are from real ones, beside real ones from each other."""
    pieces, frechet = found["pieces"], found["frechet"]
    said = f"{pieces['generated']} pieces by {found['name']} beside {pieces['real']} real ones: "
    if "generated" in frechet:
        ours, real = frechet["generated"], frechet["control"]
        said += f"Fréchet distance {ours:.1f}, where real music is {real:.1f} from itself; "
    worst = ", ".join(f"{name} {ours:.2f} ({real:.2f})" for name, ours, real in farthest(found)[:3])
    return f"{said}they overlap least, beside real with real, in {worst}."


def _judge_line(judged: dict[str, Any], found: dict[str, Any]) -> str:
    """Returns how often a judge tells the pieces of a writer from real ones, beside real ones from each other."""
    control, bounds = judged["control"], [100 * bound for bound in found["accuracy_interval"]]
    return (
        f"A judge that has learned to tell pieces by {found['name']} from real ones is right about "
        f"{_percent(found['accuracy'])} of {2 * found['tested']} others (95 %: {interval(bounds, '.0f')} %), by chance "
        "about 50 %" + (f"; real from real about {_percent(control['accuracy'])}." if control else ".")
    )


def _originality_line(found: dict[str, Any]) -> str:
    """Returns how much the pieces of a writer share with the training split, beside held-out human music."""
    ours, human = found["generated"]["longest_notes"], found["held_out"]["longest_notes"]
    return (
        f"Shared with the training split, in any key and tempo: runs of {ours['mean']:.1f} notes on average, at most "
        f"{ours['largest']:.0f}; held-out music {human['mean']:.1f}, at most {human['largest']:.0f}. "
        f"{_percent(found['beyond_human'])} of the pieces stand out among human ones, where 5 % is ordinary."
    )


def _percent(share: float, digits: int = 0) -> str:
    """Returns a share as prose has it, with a space before the sign."""
    return f"{100 * share:.{digits}f} %"


def _percent_interval(bounds: list[float]) -> str:
    return f"{interval([100 * bound for bound in bounds], '.1f')} %"
