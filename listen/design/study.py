"""A listening study on disk: what listeners may see, what only the researcher may, and the tasks of each listener.

The folder of a study holds

    study.json        title, text, clips and their files; nothing in it tells a condition, so a browser may see it
    conditions.json   what each clip is, which are checks, the secret that orders follow from; never to be served
                      (mode 0600)
    audio/            the clips: <id>.ogg (Opus) and <id>.mp3, the ids random
    answers.sqlite    what listeners answered (`answers.py`); never to be served

A task says which clips it is about and nothing else; its id is its place ("1", "2", …) for every listener. What a
task is for (`plan_of`) is for `results` only.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically
from ostinato.listen.design import earlier_order
from ostinato.listen.design.order import CHECK, PlannedTask, Sheet, TaskKind, plan_tasks
from ostinato.listen.design.study_files import Hidden, Shown, check_clips, read_part
from ostinato.listen.private import owner_only
from ostinato.report.text import printable

STUDY_FILE, CONDITIONS_FILE, AUDIO_FOLDER, ANSWERS_FILE = "study.json", "conditions.json", "audio", "answers.sqlite"
FORMAT, EARLIER_FORMAT = 2, 1
"""Of what is written, and of what is read too: without a secret and sheets, its orders told the conditions."""

SUFFIXES = {"opus": ".ogg", "mp3": ".mp3"}
"""Formats of clips, best first, and how their files end."""
CONTENT_TYPES = {"opus": "audio/ogg; codecs=opus", "mp3": "audio/mpeg"}

_TEXTS = ("id", "title", "about", "contact", "created", "clip_s", "prompt_s")


class StudyError(UserError):
    """A folder is not a study, or asks for something that it does not hold."""


@dataclass(frozen=True)
class Clip:
    """One recording."""

    id: str
    """16 random hexadecimal digits."""
    files: dict[str, str]
    """Path within the study by format (`SUFFIXES`), with forward slashes."""
    duration_s: float


@dataclass(frozen=True)
class Task:
    """One thing that a listener is asked."""

    id: str
    kind: TaskKind
    clips: tuple[Clip, ...]
    """compare: left (a) and right (b); rate: one."""


@dataclass(frozen=True)
class Private:
    """What only the researcher may see: the fields of conditions.json."""

    seed: int
    """Of the music."""
    conditions: list[dict[str, Any]]
    """For each its `name` and where it comes from."""
    prompts: list[dict[str, Any]]
    """For each where it was taken from."""
    clips: dict[str, dict[str, Any]]
    """For each clip `condition`, `prompt` (its number), and how it was made."""
    num_comparisons: int
    """Of each listener, without checks."""
    num_ratings: int
    config: dict[str, Any]
    """The options of `create`, the loudness of all clips in LUFS, and the fingerprint of the dataset."""
    secret: str = ""
    """64 random hexadecimal digits, from which it follows what each listener hears; in nothing that is shown."""
    sheets: list[dict[str, list[list[str]]]] = field(default_factory=list)
    """For each the clips of its tasks (`order.Sheet`); none in studies of the earlier format."""
    order_seed: int = 0
    """In studies of the earlier format: of the places of the checks."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the conditions."""
        return tuple(condition["name"] for condition in self.conditions)

    @functools.cached_property
    def clip_of(self) -> dict[tuple[str, int], str]:
        """The clip of a condition and a prompt."""
        return {(clip["condition"], clip["prompt"]): name for name, clip in self.clips.items()}


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study that has been created."""

    folder: Path
    id: str
    """16 random hexadecimal digits."""
    title: str
    about: str
    """What listeners read; paragraphs of plain text, separated by empty lines."""
    contact: str
    """Whom to write to; may be empty."""
    created: str
    """The day, as 2026-11-23."""
    clip_s: float
    """Seconds of each clip; all are equally long."""
    prompt_s: float
    """How many seconds at the beginning are the same in all clips of a prompt, roughly."""
    clips: Mapping[str, Clip]
    private: Private

    @classmethod
    def open(cls, folder: str | Path) -> "Study":
        """Opens a study.

        Raises:
            StudyError: the folder is not a finished study, of another version, or an audio file is missing.
        """
        folder = Path(folder)
        shown = read_part(folder / STUDY_FILE, Shown, error=StudyError)
        hidden = read_part(folder / CONDITIONS_FILE, Hidden, error=StudyError)
        for name, document in ((STUDY_FILE, shown), (CONDITIONS_FILE, hidden)):
            if document.pop("format", None) not in (FORMAT, EARLIER_FORMAT) or document.get("id") != shown["id"]:
                raise StudyError(f"{folder / name}: not of this study, or of another version of ostinato")
        clips = {name: Clip(name, clip["files"], clip["duration_s"]) for name, clip in shown["clips"].items()}
        check_clips(folder, shown, hidden, error=StudyError)
        del hidden["id"]
        texts = {name: shown[name] for name in _TEXTS}
        try:
            study = cls(folder=folder, clips=clips, private=Private(**hidden), **texts)
        except TypeError as error:  # a field of a later version
            raise StudyError(f"{folder / CONDITIONS_FILE}: {printable(str(error))}; create the study again") from error
        study.plan_of(0)
        return study

    def write(self) -> "Study":
        """Writes the descriptions beside the audio, last what makes the folder a study, and opens it."""
        head = {"format": FORMAT, "id": self.id}
        with owner_only():
            write_atomically(self.folder / CONDITIONS_FILE, _to_bytes(head | asdict(self.private)))
        # Sorted by their random names: the order in which they were made would tell conditions.
        clips = {
            name: {"files": clip.files, "duration_s": clip.duration_s} for name, clip in sorted(self.clips.items())
        }
        write_atomically(self.folder / STUDY_FILE, _to_bytes(head | self._texts() | {"clips": clips}))
        return Study.open(self.folder)

    @property
    def is_blind(self) -> bool:
        """Whether orders tell no condition to whoever knows our source; not so in studies of the earlier format."""
        return bool(self.private.sheets)

    def plan_of(self, number: int) -> tuple[PlannedTask, ...]:
        """Returns the tasks of a listener, from 0, with what they are for.

        Raises:
            StudyError: what is known of the clips does not fit together.
        """
        if number < 0:
            raise StudyError(f"there is no listener {number}, the first is 0")
        try:
            return self._plan_of(number) if self.is_blind else self._earlier_plan_of(number)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            problem = f"clips, prompts and tasks do not fit together: {type(error).__name__} {error!s:.60}"
            file = self.folder / CONDITIONS_FILE
            raise StudyError(f"{file}: damaged ({printable(problem)}); create the study again") from error

    def _plan_of(self, number: int) -> tuple[PlannedTask, ...]:
        private = self.private
        sheets = [Sheet(*(tuple(map(tuple, sheet[kind])) for kind in Sheet._fields)) for sheet in private.sheets]
        tasks = []
        for place, (kind, clip_ids, repeats) in enumerate(plan_tasks(number, sheets, private.secret), 1):
            clips = [private.clips[clip_id] for clip_id in clip_ids]
            conditions = tuple(clip["condition"] for clip in clips)
            role = "repeat" if repeats is not None else CHECK if CHECK in conditions else "test"
            again = "" if repeats is None else str(repeats + 1)
            tasks.append(PlannedTask(str(place), kind, role, conditions, clips[0]["prompt"], again, clip_ids))
        return tuple(tasks)

    def _earlier_plan_of(self, number: int) -> tuple[PlannedTask, ...]:
        private, last = self.private, len(self.private.prompts) - 1
        shape = (private.names, last, private.num_comparisons, private.num_ratings, private.order_seed)
        return tuple(
            task._replace(clip_ids=tuple(private.clip_of[name, task.prompt] for name in task.conditions))
            for task in earlier_order.plan_tasks(number, earlier_order.Shape(*shape))
        )

    def tasks_of(self, number: int) -> tuple[Task, ...]:
        """Returns the tasks of a listener, from 0, in their order: the comparisons, then the ratings.

        Each prompt is heard in at most one task (the two clips of a comparison share it), except in the two tasks that
        are asked again. `order.py` says what is balanced.
        """
        return tuple(
            Task(task.id, task.kind, tuple(self.clips[clip_id] for clip_id in task.clip_ids))
            for task in self.plan_of(number)
        )

    @property
    def num_tasks(self) -> int:
        """Of each listener."""
        return len(self.plan_of(0))

    @property
    def minutes(self) -> int:
        """About how long a listener needs: every clip once, and ten seconds for each answer."""
        heard_s = sum(len(task.clip_ids) * self.clip_s + 10 for task in self.plan_of(0))
        return max(1, math.ceil(heard_s / 60))

    def public(self) -> dict[str, Any]:
        """Returns what may be sent to a browser, ready for JSON; without the list of clips, which each task names."""
        kinds = [task.kind for task in self.plan_of(0)]
        tasks = {kind: kinds.count(kind) for kind in ("compare", "rate")}
        return self._texts() | {"minutes": self.minutes, "tasks": tasks}

    def _texts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _TEXTS}


def _to_bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
