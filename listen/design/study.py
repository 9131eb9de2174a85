"""A listening study on disk: what listeners may see, what only the researcher may, and the tasks of each listener.

The folder of a study holds

    study.json        title, text, clips and their files; nothing in it tells a condition, so a browser may see it
    conditions.json   what each clip is, which are checks, the order of tasks; never to be served (mode 0600)
    audio/            the clips: <id>.ogg (Opus) and <id>.mp3, the ids random
    answers.sqlite    what listeners said (`answers.py`); never to be served

    study = Study.open(folder)
    study.clip_path("3f…", "opus")     # audio/3f….ogg; any other id or format is a StudyError
    study.tasks_of(17)                 # of the 18th listener: the comparisons, then the ratings
    study.public()                     # what may be sent to a browser

A task says which clips it is about and nothing else. Its id is its place ("1", "2", …), so it says nothing about the
task, and is the same for every listener. What a task is for (`plan_of`) is for `results` only.
"""

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.records import write_atomically
from ostinato.listen.design.plan import PlannedTask, Private, TaskKind, make_plan

STUDY_FILE = "study.json"
CONDITIONS_FILE = "conditions.json"
AUDIO_FOLDER = "audio"
ANSWERS_FILE = "answers.sqlite"

FORMAT = 1

SUFFIXES = {"opus": ".ogg", "mp3": ".mp3"}
"""Formats of clips, best first, and how their files end."""

CONTENT_TYPES = {"opus": "audio/ogg; codecs=opus", "mp3": "audio/mpeg"}


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

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # it holds a dict


@dataclass(frozen=True)
class Task:
    """One thing that a listener is asked."""

    id: str
    kind: TaskKind
    clips: tuple[Clip, ...]
    """compare: left (a) and right (b); rate: one."""


@dataclass(frozen=True)
class Study:
    """A study that has been created."""

    folder: Path
    id: str
    """16 random hexadecimal digits."""
    title: str
    about: str
    """What listeners are told; paragraphs of plain text, separated by empty lines."""
    contact: str
    """Whom to write to; may be empty."""
    created: str
    """The day, as 2026-11-23."""
    clip_s: float
    """Seconds of each clip; all are equally long."""
    prompt_s: float
    """Roughly so many seconds at the beginning are the same in all clips of a prompt."""
    clips: Mapping[str, Clip]
    private: Private

    @property
    def seed(self) -> int:
        """Of the music; not public, since whoever has the models could make the clips again."""
        return self.private.seed

    @classmethod
    def open(cls, folder: str | Path) -> "Study":
        """Opens a study.

        Raises:
            StudyError: the folder is not a finished study, of another version, or an audio file is missing.
        """
        folder = Path(folder)
        shown, hidden = (_read(folder / name) for name in (STUDY_FILE, CONDITIONS_FILE))
        for name, document in ((STUDY_FILE, shown), (CONDITIONS_FILE, hidden)):
            if document.get("format") != FORMAT or document.get("id") != shown["id"]:
                raise StudyError(f"{folder / name}: not of this study, or of another version of ostinato")
        clips = {name: Clip(name, dict(clip["files"]), clip["duration_s"]) for name, clip in shown["clips"].items()}
        for clip in clips.values():
            for path in clip.files.values():
                if not (folder / path).is_file():
                    raise StudyError(f"{folder / path}: is missing; create the study again")
        del hidden["format"], hidden["id"]
        texts = {name: shown[name] for name in ("id", "title", "about", "contact", "created", "clip_s", "prompt_s")}
        return cls(folder=folder, clips=clips, private=Private.from_json(hidden), **texts)

    def clip_path(self, clip_id: str, audio_format: str) -> Path:
        """Returns the file of a clip.

        Raises:
            StudyError: there is no such clip, or not in this format.
        """
        clip = self.clips.get(clip_id)
        if clip is None or audio_format not in clip.files:
            raise StudyError(f"there is no clip {clip_id[:40]!r} as {audio_format[:40]!r}")
        return self.folder / clip.files[audio_format]

    def plan_of(self, number: int) -> tuple[PlannedTask, ...]:
        """Returns the tasks of a listener, from 0, with what they are for."""
        if number < 0:
            raise StudyError(f"there is no listener {number}, the first is 0")
        return make_plan(self.private, number)

    def tasks_of(self, number: int) -> tuple[Task, ...]:
        """Returns the tasks of a listener, from 0, in their order: the comparisons, then the ratings.

        Each prompt is heard in at most one task (the two clips of a comparison share it), but for the two tasks that
        are asked again and the prompt of the broken clip, which is kept for the checks. `order.py` says what is
        balanced.
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
        """Roughly how long a listener needs: every clip once, and ten seconds for each answer."""
        heard_s = sum(len(task.clip_ids) * self.clip_s + 10 for task in self.plan_of(0))
        return max(1, math.ceil(heard_s / 60))

    def public(self) -> dict[str, Any]:
        """Returns what may be sent to a browser, ready for JSON; without the list of clips, which each task names."""
        kinds = [task.kind for task in self.plan_of(0)]
        return {
            "id": self.id,
            "title": self.title,
            "about": self.about,
            "contact": self.contact,
            "created": self.created,
            "clip_s": self.clip_s,
            "prompt_s": self.prompt_s,
            "minutes": self.minutes,
            "tasks": {kind: kinds.count(kind) for kind in ("compare", "rate")},
        }


def write_study(
    folder: Path,
    private: Private,
    clips: Mapping[str, Clip],
    *,
    study_id: str,
    title: str,
    about: str,
    contact: str,
    created: str,
    clip_s: float,
    prompt_s: float,
) -> Study:
    """Writes the description of a study beside its audio and opens it. What makes the folder a study is written last.

    The arguments are the fields of `Study`.
    """
    hidden = {"format": FORMAT, "id": study_id, **private.to_json()}
    file = folder / CONDITIONS_FILE
    write_atomically(file, _to_bytes(hidden))
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    shown = {
        "format": FORMAT,
        "id": study_id,
        "title": title,
        "about": about,
        "contact": contact,
        "created": created,
        "clip_s": clip_s,
        "prompt_s": prompt_s,
        # Sorted by their random names: the order in which they were made would tell conditions.
        "clips": {name: {"files": clips[name].files, "duration_s": clips[name].duration_s} for name in sorted(clips)},
    }
    write_atomically(folder / STUDY_FILE, _to_bytes(shown))
    return Study.open(folder)


def _to_bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise StudyError(
            f"{file.parent}: not a study ({file.name} is missing); run 'ostinato listen create'"
        ) from error
    except ValueError as error:
        raise StudyError(f"{file}: damaged ({error}); create the study again") from error
