"""Listeners who answer by known strengths."""

import numpy as np

from ostinato.listen.analysis.preference import Choices
from ostinato.listen.design.order import CHECK, PlannedTask, draw_sheets
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import Answer, Comparison, Listener, Rating, Training

TRAINING = Training(practice="2", level="amateur", playback="device")


def chances(strength, tie_log, first, second):
    """Returns how likely it is that the first is preferred, the second, neither."""
    s1, s2 = strength[first], strength[second]
    utility = np.array([s1, s2, (s1 + s2) / 2 + tie_log])
    chance = np.exp(utility - utility.max())
    return chance / chance.sum()


def choices_of(rng, strength, *, num_listeners, num_sheets=4, num_comparisons=6, tie_log=-1.0) -> Choices:
    """Returns comparisons as a study asks for them."""
    names = [str(place) for place in range(len(strength))]
    sheets = draw_sheets(
        names, num_sheets=num_sheets, num_comparisons=num_comparisons, num_ratings=1, secret=str(rng.integers(2**40))
    )
    rows = []
    for number in range(num_listeners):
        for item in sheets[number % num_sheets]:
            if item.kind == "compare" and CHECK not in item.conditions:
                pair = [int(name) for name in item.conditions]
                rows.append((*pair, rng.choice(3, p=chances(strength, tie_log, *pair)), number, item.prompt))
    return Choices(*np.array(rows).T)


def listener(study: Study, number: int, worth: dict[str, float], *, rng, **changes) -> Listener:
    """Returns a listener who knows what each condition is worth, and that the attention check is worth nothing."""
    answers = {task.id: _answer(task, worth | {CHECK: -9.0}, rng) for task in study.plan_of(number)}
    said = {"name": str(number), "number": number, "begun": "2026-11-23T10:00:00Z", "finished": True}
    return Listener(**said | {"training": TRAINING, "answers": answers} | changes)


def _answer(task: PlannedTask, worth: dict[str, float], rng) -> Answer:
    played = (20_000,) * len(task.conditions)
    strength = np.array([worth[name] for name in task.conditions])
    if task.kind == "compare":
        outcome = rng.choice(3, p=chances(strength, -1.0, 0, 1))
        return Comparison(choice=("a", "b", "none")[outcome], comment="", played_ms=played)
    points = np.clip(np.rint(3 + strength[0] + rng.normal(0, 0.5, 3)), 1, 5).astype(int).tolist()
    return Rating(coherence=points[0], style=points[1], emotion=points[2], comment="", played_ms=played)
