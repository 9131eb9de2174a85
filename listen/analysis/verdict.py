"""What a study found, in sentences, and what people read for the names of its conditions."""

import re
from typing import Any

from ostinato.listen.design.order import HUMAN
from ostinato.listen.design.power import ALPHA


def condition_name(name: str) -> str:
    """Returns what people read for a condition: its own name, but for human music and the baselines."""
    if name == HUMAN:
        return "human music"
    if name == "rules":
        return "recombined beats (rules)"
    order = re.fullmatch(r"markov:(\d)", name)
    return f"Markov chain, order {order[1]}" if order else name


def verdict(results: dict[str, Any]) -> list[str]:
    """Returns a sentence on each condition beside human music, by the listeners who count: better, worse, or not told.

    `results` may be those of results.json.
    """
    preference = results["main"]["preference"]
    if preference["strengths"] is None:
        return [f"No verdict yet: {preference['reason']}."]
    lines = []
    for pair in preference["pairs"]:
        if HUMAN not in (pair["first"], pair["second"]):
            continue
        sides = [(pair["first"], pair["first_better"]), (pair["second"], pair["second_better"])]
        (_, for_human), (other, for_other) = sorted(sides, key=lambda side: side[0] != HUMAN)
        decided, ties = for_human + for_other, pair["ties"]
        counted = (
            f"{for_other} of {decided} answers that preferred one of the two, {ties} neither; {_p(pair['p_holm'])}"
        )
        lines.append(f"{condition_name(other)} {_finding(pair, for_other, for_human)} ({counted}).")
    if any(pair["p_holm"] is None or pair["p_holm"] >= ALPHA for pair in preference["pairs"]):
        lines.append("A difference that was not found may still be there: more listeners would tell.")
    return lines


def _finding(pair: dict[str, Any], for_other: int, for_human: int) -> str:
    if pair["p_holm"] is None or pair["p_holm"] >= ALPHA:
        return "could not be told from human music by preference"
    return f"was preferred {'to' if for_other > for_human else 'less than'} human music"


def _p(value: float | None) -> str:
    return "p unknown" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
