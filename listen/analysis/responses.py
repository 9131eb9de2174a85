"""Answers with what they are about, one by one, and how attentive each listener was."""

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

RULE = (
    "A listener counts who answered all tasks, unless they preferred the attention check to real music, rated its "
    f"coherence above {HIGHEST_CHECK}, or played a clip for less than {SHORTEST_HEARD_MS // 1000} s (half of it, if "
    "that is shorter) in more than a quarter of the tasks. Answering a repeated task in another way excludes nobody: "
    "honest listeners do so when clips are alike."
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
    repeats_alike: int
    """Repeats with the same choice, or with points that differ by at most one on each scale."""
    repeats: int

    @property
    def counts(self) -> bool:
        """Whether the listener counts by RULE."""
        return self.finished and not (self.preferred_check or self.rated_check_high or self.did_not_listen)


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
        repeats_alike=sum(_is_alike(answer, listener.answers[task.repeats]) for _, task, answer in repeats),
        repeats=len(repeats),
    )


def preferred(response: Response) -> str:
    """Returns the condition that was preferred in a comparison; nothing where neither was, or it is none."""
    if not isinstance(response.answer, Comparison) or response.answer.choice == "none":
        return ""
    return response.task.conditions["ab".index(response.answer.choice)]


def _is_alike(again: Answer, first: Answer) -> bool:
    if isinstance(again, Comparison) and isinstance(first, Comparison):
        return again.choice == {"a": "b", "b": "a", "none": "none"}[first.choice]  # the sides are changed
    return all(abs(getattr(again, scale) - getattr(first, scale)) <= 1 for scale in SCALES)
