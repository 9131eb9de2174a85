"""Answers with what they are about, one by one, and how attentive each listener was."""

from collections.abc import Sequence
from typing import NamedTuple

from ostinato.listen.design.order import CHECK, PlannedTask
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import SCALES, Answer, Comparison, Listener, Rating

SHORTEST_HEARD_MS = 5000
"""A clip that was played for a shorter time, and less than half of it, has not been heard."""
MOST_UNHEARD = 0.25
"""Share of tasks."""
HIGHEST_CHECK = 3
"""Points for the coherence of the attention check."""

MOST_TAKEN = 1.5
"""As so many times the length of its clips a task counts at most: a pause makes up for no haste."""

EARLIER_RULE = (
    "A listener counts who answered all tasks, unless they preferred the attention check to real music, rated its "
    f"coherence above {HIGHEST_CHECK}, or played a clip for less than {SHORTEST_HEARD_MS // 1000} s (half of it, if "
    "that is shorter) in more than a quarter of the tasks. Answering a repeated task in another way excludes nobody: "
    "honest listeners do so when clips are alike."
)
"""Of studies of format 1, which were begun with it."""
RULE = (
    f"{EARLIER_RULE} Nor does a listener count who answered faster than the clips last: by the server's clock, in less "
    "time for all tasks together than their clips last, where no task counts as more than "
    f"{MOST_TAKEN:g} times the length of its clips. (Answers that were sent as files have no such clock.)"
)
"""Fixed before there are answers, and the same for all studies."""


class Response(NamedTuple):
    """One answer."""

    listener: Listener
    task: PlannedTask
    answer: Answer


class Checks(NamedTuple):
    """How attentive a listener was."""

    finished: bool
    preferred_check: bool
    rated_check_high: bool
    did_not_listen: bool
    """In too many tasks a clip was hardly played."""
    too_fast: bool
    """The answers came faster than the clips last."""
    repeats_alike: int
    """Repeats with the same choice, or with points that differ by at most one on each scale."""
    repeats: int

    @property
    def counts(self) -> bool:
        """Whether the listener counts by the rule."""
        return self.finished and not (
            self.preferred_check or self.rated_check_high or self.did_not_listen or self.too_fast
        )


def rule_of(study: Study) -> str:
    """Returns by which rule listeners of a study count."""
    return RULE if study.is_blind else EARLIER_RULE


def responses_of(study: Study, listener: Listener) -> list[Response]:
    """Returns all answers of a listener, in the order of the tasks."""
    return [
        Response(listener, task, listener.answers[task.id])
        for task in study.plan_of(listener.number)
        if task.id in listener.answers
    ]


def check(study: Study, listener: Listener) -> Checks:
    """Returns how attentive a listener was."""
    responses = responses_of(study, listener)
    checks = [response for response in responses if response.task.role == CHECK]
    repeats = [response for response in responses if response.task.role == "repeat"]
    shortest_ms = min(SHORTEST_HEARD_MS, 500 * study.clip_s)
    unheard = sum(min(answer.played_ms) < shortest_ms for _, _, answer in responses)
    return Checks(
        finished=len(responses) == study.num_tasks,
        preferred_check=any(preferred(response) == CHECK for response in checks),
        rated_check_high=any(
            isinstance(answer, Rating) and answer.coherence > HIGHEST_CHECK for _, _, answer in checks
        ),
        did_not_listen=unheard > MOST_UNHEARD * len(responses),
        too_fast=study.is_blind and _is_too_fast(responses, study.clip_s),
        repeats_alike=sum(_is_alike(answer, listener.answers[task.repeats]) for _, task, answer in repeats),
        repeats=len(repeats),
    )


def preferred(response: Response) -> str:
    """Returns the condition that was preferred in a comparison; nothing where neither was, or it is none."""
    if not isinstance(response.answer, Comparison) or response.answer.choice == "none":
        return ""
    return response.task.conditions["ab".index(response.answer.choice)]


def _is_too_fast(responses: Sequence[Response], clip_s: float) -> bool:
    taken_s = lasted_s = 0.0
    for listener, task, _ in responses:
        if task.id in listener.took_s:
            clips_s = len(task.clip_ids) * clip_s
            taken_s += min(max(listener.took_s[task.id], 0.0), MOST_TAKEN * clips_s)
            lasted_s += clips_s
    return taken_s < lasted_s


def _is_alike(again: Answer, first: Answer) -> bool:
    if isinstance(again, Comparison) and isinstance(first, Comparison):
        return again.choice == {"a": "b", "b": "a", "none": "none"}[first.choice]  # the sides are changed
    return all(abs(getattr(again, scale) - getattr(first, scale)) <= 1 for scale in SCALES)
