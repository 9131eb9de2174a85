"""Answers with what they are about: one row for each, and who did not listen."""

from collections.abc import Sequence
from typing import NamedTuple

from ostinato.listen.design.plan import BROKEN, PlannedTask
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import Answer, Comparison, Listener, Rating

SHORTEST_HEARD_MS = 5000
"""A clip that was played for a shorter time, and less than half of it, has not been heard."""

MOST_UNHEARD = 0.25
"""Share of tasks."""

HIGHEST_BROKEN = 3
"""Points for the coherence of the broken clip."""

RULE = (
    "A listener counts who answered all tasks, unless they preferred the broken clip to real music, rated its "
    f"coherence above {HIGHEST_BROKEN}, or played a clip for less than {SHORTEST_HEARD_MS // 1000} s (half of it, if "
    "that is shorter) in more than a quarter of the tasks. Answering a repeated task in another way excludes nobody: "
    "honest listeners do so when clips are alike."
)
"""Fixed before there are answers, and the same for all studies."""


class Told(NamedTuple):
    """One answer."""

    listener: Listener
    task: PlannedTask
    answer: Answer


class Checks(NamedTuple):
    """How attentive a listener was."""

    finished: bool
    chose_broken: bool
    rated_broken_high: bool
    unheard: int
    """Tasks with a clip that was hardly played."""
    tasks: int
    repeats_alike: int
    """Repeats with the same choice, or with points that differ by at most one on each scale."""
    repeats: int

    @property
    def counts(self) -> bool:
        """Whether the listener counts by RULE."""
        return self.finished and not (self.chose_broken or self.rated_broken_high or self.did_not_listen)

    @property
    def did_not_listen(self) -> bool:
        """Whether too many tasks were answered without having heard the clips."""
        return self.unheard > MOST_UNHEARD * self.tasks


def told_by(study: Study, listener: Listener) -> list[Told]:
    """Returns all answers of a listener, in the order of the tasks."""
    return [
        Told(listener, task, listener.answers[task.id])
        for task in study.plan_of(listener.number)
        if task.id in listener.answers
    ]


def check(study: Study, listener: Listener) -> Checks:
    """Returns how attentive a listener was."""
    told = told_by(study, listener)
    broken = [row for row in told if row.task.role == "broken"]
    repeats = [row for row in told if row.task.role == "repeat"]
    shortest_ms = min(SHORTEST_HEARD_MS, 500 * study.clip_s)
    return Checks(
        finished=len(told) == study.num_tasks,
        chose_broken=any(preferred(row) == BROKEN for row in broken),
        rated_broken_high=any(
            isinstance(row.answer, Rating) and row.answer.coherence > HIGHEST_BROKEN for row in broken
        ),
        unheard=sum(min(row.answer.played_ms) < shortest_ms for row in told),
        tasks=len(told),
        repeats_alike=sum(_is_alike(row.answer, listener.answers[row.task.repeats]) for row in repeats),
        repeats=len(repeats),
    )


def preferred(row: Told) -> str:
    """Returns the condition that was preferred in a comparison; nothing where neither was, or it is none."""
    if not isinstance(row.answer, Comparison) or row.answer.choice == "none":
        return ""
    return row.task.conditions["ab".index(row.answer.choice)]


def tests_of(told: Sequence[Told]) -> list[Told]:
    """Returns the answers that are there to learn something: neither checks nor repeats."""
    return [row for row in told if row.task.role == "test"]


def _is_alike(again: Answer, first: Answer) -> bool:
    if isinstance(again, Comparison) and isinstance(first, Comparison):
        return again.choice == {"a": "b", "b": "a", "none": "none"}[first.choice]  # the sides are changed
    assert isinstance(again, Rating)
    assert isinstance(first, Rating)
    return all(
        abs(one - other) <= 1
        for one, other in zip(
            (again.coherence, again.style, again.emotion), (first.coherence, first.style, first.emotion), strict=True
        )
    )
