"""One listener's answers as values, and the JSON that pages send and static studies write.

A page sends JSON objects; `parse_answer` and `parse_training` check them and are the only way in:

    {"choice": "a" | "b" | "none", "comment": "…", "played_ms": [12000, 9800]}
    {"coherence": 1..5, "style": 1..5, "emotion": 1..5, "comment": "…", "played_ms": [25000]}
    {"practice": "6-9", "level": "amateur", "playback": "headphones"}

All keys are needed, and there are no others. The file that a listener of a static study downloads is
`ostinato-answers-<session>.json`:

    {"format": "ostinato-listen-1", "study": <study.id>, "session": <32 random hexadecimal digits>, "number": 17,
     "begun": "2026-11-23T10:00:00Z", "finished": "2026-11-23T10:15:00Z" | null, "training": {…} | null,
     "answers": [{"task": "1", "kind": "compare", …as above…}, …]}
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ostinato.configs.errors import UserError
from ostinato.listen.design.study import Task

SCALES = ("coherence", "style", "emotion")
LOWEST, HIGHEST = 1, 5
CHOICES = {"a": "Clip A", "b": "Clip B", "none": "No preference"}
"""The left clip, the right one, neither; as they are stored and in words."""

MAX_COMMENT = 1000
"""Characters."""
MAX_PLAYED_MS = 24 * 3600 * 1000

TRAINING = {
    "practice": {
        "0": "never", "1": "1 year", "2": "2 years", "3": "3 years", "4-5": "4 to 5", "6-9": "6 to 9",
        "10+": "10 or more",
    },
    "level": {
        "listener": "I listen", "amateur": "I play or sing for pleasure", "student": "I study it",
        "professional": "I make my living with it",
    },
    "playback": {
        "headphones": "Headphones or earphones", "speakers": "Loudspeakers", "device": "This phone or computer",
    },
}  # fmt: skip
"""What listeners say about themselves, as it is stored and in words. The years of regular practice are asked for as the
Goldsmiths Musical Sophistication Index (Muellensiefen et al., 2014) does."""


class AnswerError(UserError):
    """An answer cannot be taken; the message is for the listener and names no other listener's data."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Which of two clips is better."""

    choice: Literal["a", "b", "none"]
    comment: str
    played_ms: tuple[int, ...]
    """Milliseconds for which each clip was played, as the browser says."""


@dataclass(frozen=True, kw_only=True)
class Rating:
    """How good a clip is, from 1 to 5."""

    coherence: int
    style: int
    emotion: int
    comment: str
    played_ms: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a listener knows of music, and what it is heard with; see TRAINING."""

    practice: str
    level: str
    playback: str


Answer = Comparison | Rating


@dataclass(frozen=True)
class Listener:
    """All answers of one listener, for `results`."""

    name: str
    """Unique: the number, or the session of a downloaded file."""
    number: int
    begun: str
    finished: bool
    training: Training | None
    answers: dict[str, Answer]
    """By task."""
    took_s: dict[str, float] = field(default_factory=dict)
    """By task: from the answer before it (the first one: from consent) to its answer, by the server's clock. The clips
    of a task are shown after the answer before it. Empty where answers came as a file."""


def parse_answer(task: Task, data: object) -> Answer:
    """Returns the answer to a task that a page sent.

    Raises:
        AnswerError: it is not one; the message says what is wrong.
    """
    names = ("choice",) if task.kind == "compare" else SCALES
    fields = _object(data, (*names, "comment", "played_ms"))
    played = fields["played_ms"]
    if (
        not isinstance(played, list)
        or len(played) != len(task.clips)
        or not all(_is_int(ms, 0, MAX_PLAYED_MS) for ms in played)
    ):
        raise AnswerError(f"played_ms must be {len(task.clips)} whole numbers from 0 to {MAX_PLAYED_MS}")
    rest = {"comment": _comment(fields["comment"]), "played_ms": tuple(played)}
    if task.kind == "compare":
        return Comparison(choice=_one_of("choice", fields["choice"], CHOICES), **rest)  # pyright: ignore[reportArgumentType]
    for name in SCALES:
        if not _is_int(fields[name], LOWEST, HIGHEST):
            raise AnswerError(f"{name} must be a whole number from {LOWEST} to {HIGHEST}")
    return Rating(**{name: fields[name] for name in SCALES}, **rest)


def parse_training(data: object) -> Training:
    """Returns what a page sent about the listener.

    Raises:
        AnswerError: it is not that; the message says what is wrong.
    """
    fields = _object(data, TRAINING)
    return Training(**{name: _one_of(name, fields[name], values) for name, values in TRAINING.items()})


def to_json(answer: Answer | Training) -> dict[str, Any]:
    """Returns what `parse_answer` or `parse_training` reads."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(answer).items()}


def says_the_same(one: Answer, other: Answer) -> bool:
    """Tells whether two answers are the same, however long the clips were played before each."""
    return replace(one, played_ms=()) == replace(other, played_ms=())


def _object(data: object, names: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or set(data) != set(names):
        raise AnswerError(f"an object with exactly {', '.join(names)} is needed")
    return data


def _one_of(name: str, value: object, allowed: Collection[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise AnswerError(f"{name} must be one of {', '.join(allowed)}")
    return value


def _is_int(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _comment(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_COMMENT:
        raise AnswerError(f"a comment is text of at most {MAX_COMMENT:,} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON may hold half a surrogate pair, which no database stores
        raise AnswerError("the comment holds characters that are none") from error
    return value.replace("\0", "").strip()
