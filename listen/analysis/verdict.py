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
    """Returns a sentence on each condition beside human music, by the listeners who count: which was preferred.

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
        lines.append(_sentence(pair, condition_name(other), for_human, for_other))
    if any(pair["p_holm"] is None or pair["p_holm"] >= ALPHA for pair in preference["pairs"]):
        lines.append("A difference that was not found may still be there: more listeners would tell.")
    return lines


def _sentence(pair: dict[str, Any], other: str, for_human: int, for_other: int) -> str:
    human, p, decided = condition_name(HUMAN), pair["p_holm"], for_human + for_other
    if p is None or p >= ALPHA:
        said, winner, count = f"No preference between {other} and {human} was found", other, for_other
    elif for_other > for_human:
        said, winner, count = f"Listeners preferred {other} to {human}", other, for_other
    else:
        said, winner, count = f"Listeners preferred {human} to {other}", human, for_human
    return f"{said} ({count} of {decided} preferences for {winner}, {pair['ties']} tied; {_p(p)})."


def _p(value: float | None) -> str:
    return "p unknown" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
