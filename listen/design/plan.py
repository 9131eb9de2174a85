"""What only the researcher may know of a study: what each clip is, and what each task of a listener is for."""

import functools
from dataclasses import dataclass
from typing import Any, Literal

from ostinato.listen.design import order
from ostinato.listen.design.order import Role

HUMAN = "human"
BROKEN = "broken"
"""The name of the check; no condition may have it."""

TaskKind = Literal["compare", "rate"]


@dataclass(frozen=True)
class PlannedTask:
    """A task and what it is for; for the researcher only."""

    id: str
    kind: TaskKind
    clip_ids: tuple[str, ...]
    conditions: tuple[str, ...]
    """Of each clip; `broken` for the broken one."""
    prompt: int
    role: Role
    repeats: str = ""
    """Of a repeat: the id of the task that is asked again (a comparison with its sides changed)."""


@dataclass(frozen=True)
class Private:
    """What only the researcher may see."""

    seed: int
    """Of the music."""
    order_seed: int
    """Of the places of the checks; random."""
    conditions: tuple[dict[str, Any], ...]
    """For each its `name` and where it comes from."""
    prompts: tuple[dict[str, Any], ...]
    """For each where it was taken from; the last one is that of the checks."""
    clips: dict[str, dict[str, Any]]
    """For each clip `condition`, `prompt` (its number), and how it was made."""
    num_comparisons: int
    """Of each listener, without checks."""
    num_ratings: int
    config: dict[str, Any]
    """The options of `create`, the loudness of all clips in LUFS, and the fingerprint of the dataset."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # it holds dicts

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Private":
        """Returns what `to_json` was made of."""
        lists: dict[str, Any] = {name: tuple(document[name]) for name in ("conditions", "prompts")}
        return cls(**document | lists)

    def to_json(self) -> dict[str, Any]:
        """Returns all fields, ready for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the conditions."""
        return tuple(condition["name"] for condition in self.conditions)

    @functools.cached_property
    def clip_of(self) -> dict[tuple[str, int], str]:
        """The clip of a condition and a prompt."""
        return {(clip["condition"], clip["prompt"]): name for name, clip in self.clips.items()}


def make_plan(private: Private, number: int) -> tuple[PlannedTask, ...]:
    """Returns the tasks of a listener, from 0, in their order."""
    shape = {
        "num_conditions": len(private.conditions),
        "num_prompts": len(private.prompts) - 1,
        "num_comparisons": private.num_comparisons,
        "seed": private.order_seed,
    }
    compared = order.comparisons_of(number, **shape)
    rated = order.ratings_of(number, num_ratings=private.num_ratings, **shape)
    tasks: list[PlannedTask] = []
    parts: tuple[tuple[TaskKind, list[order.Placed]], ...] = (("compare", compared), ("rate", rated))
    for kind, placed in parts:
        first = len(tasks)
        for place, task in enumerate(placed):
            names, prompt = tuple(private.names[i] for i in task.conditions), task.prompt
            if task.role == "broken":
                prompt = len(private.prompts) - 1
                names = (BROKEN, HUMAN) if kind == "compare" else (BROKEN,)
                if order.choose(2, private.order_seed, number, "side"):
                    names = names[::-1]
            tasks.append(
                PlannedTask(
                    id=str(first + place + 1),
                    kind=kind,
                    clip_ids=tuple(private.clip_of[name, prompt] for name in names),
                    conditions=names,
                    prompt=prompt,
                    role=task.role,
                    repeats="" if task.repeats < 0 else str(first + task.repeats + 1),
                )
            )
    return tuple(tasks)
