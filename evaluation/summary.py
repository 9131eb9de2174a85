"""What an evaluation found, in sentences: the same in the terminal and on top of the page."""

from typing import Any

from ostinato.evaluation.baselines.simple import STRONGEST
from ostinato.evaluation.tables import farthest, interval


def summary(report: dict[str, Any]) -> list[str]:
    """Returns a sentence on each of likelihood, statistics and originality, and what could not be measured."""
    lines = [likelihood_line(report)]
    if report["statistics"]:
        lines.append(statistics_line(report["statistics"][0]))
    if report["originality"]:
        lines.append(originality_line(report["originality"][0]))
    return lines + [f"{notice[0].upper()}{notice[1:]}." for notice in report["notices"]]


def likelihood_line(report: dict[str, Any]) -> str:
    """Returns nats per note with their interval, and how that compares with the longest Markov chain."""
    split = report["held_out"]
    score = report["splits"][split][0]
    against = next(row for row in report["comparisons"][split] if row["against"] == STRONGEST)
    bounds = score["nats_per_note_interval"]
    said = f"{score['name']} needs {score['nats_per_note']:.3f} nats per note"
    said += f" (95 %: {interval(bounds, '.3f')})" if bounds else ""
    what = "pieces that it has been trained on" if split == "train" else f"held-out pieces ({split} split)"
    share, shares = against["share_less"], against["share_less_interval"]
    said += (
        f" on {score['pieces']:,} {what}: {percent(abs(share), 1)} {'less' if share >= 0 else 'more'} than {STRONGEST}"
    )
    if shares:
        shares = shares if share >= 0 else [-shares[1], -shares[0]]
        said += f" (95 %: {percent_interval(shares)})"
    return said + "."


def statistics_line(found: dict[str, Any]) -> str:
    """Returns how far the pieces of a writer are from real ones, beside real ones from each other."""
    pieces, frechet = found["pieces"], found["frechet"]
    said = f"{pieces['generated']} pieces by {found['name']} beside {pieces['real']} real ones: "
    if "generated" in frechet:
        said += (
            f"Fréchet distance {frechet['generated']:.1f}, where real music is {frechet['control']:.1f} from itself; "
        )
    worst = ", ".join(f"{name} {ours:.2f} ({real:.2f})" for name, ours, real in farthest(found)[:3])
    return f"{said}they overlap least, beside real with real, in {worst}."


def originality_line(found: dict[str, Any]) -> str:
    """Returns how much the pieces of a writer share with the training split, beside held-out human music."""
    ours, human = found["generated"], found["held_out"]
    lengths, lengths_of_humans = ours["longest_notes"], human["longest_notes"]
    return (
        "Shared with the training split, in any key and tempo: runs of "
        f"{lengths['mean']:.1f} notes on average, at most {lengths['largest']:.0f}; held-out music "
        f"{lengths_of_humans['mean']:.1f}, at most {lengths_of_humans['largest']:.0f}. "
        f"{percent(found['beyond_human'])} of the pieces stand out among human ones, where {percent(0.05)} is ordinary."
    )


def percent(share: float, digits: int = 0) -> str:
    """Returns a share as prose has it, with a space before the sign."""
    return f"{100 * share:.{digits}f} %"


def percent_interval(bounds: list[float]) -> str:
    """Returns an interval of shares, of which the second has the sign."""
    return f"{interval([100 * bound for bound in bounds], '.1f')} %"
