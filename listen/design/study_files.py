"""What study.json and conditions.json may hold: a study may come from a stranger, and names the files of its clips."""

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from ostinato.configs.documents import Count, inside, read_document
from ostinato.configs.errors import UserError

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
ClipId = Annotated[str, Meta(pattern=r"\A[\w-]{1,64}\Z")]
Few = Annotated[int, Meta(ge=0, le=10_000)]


class ShownClip(TypedDict):
    """A recording; `files` are paths within the study."""

    files: dict[Literal["opus", "mp3"], str]
    duration_s: Seconds


class Shown(TypedDict):
    """study.json."""

    format: int
    id: str
    title: str
    about: str
    contact: str
    created: str
    clip_s: Seconds
    prompt_s: Seconds
    clips: dict[ClipId, ShownClip]


class Condition(TypedDict):
    """What is compared."""

    name: str


class HiddenClip(TypedDict):
    """What a clip is."""

    condition: str
    prompt: Count


class Hidden(TypedDict):
    """conditions.json, of all formats that are read."""

    format: int
    id: str
    seed: int
    conditions: Annotated[list[Condition], Meta(min_length=1, max_length=1000)]
    prompts: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    clips: dict[ClipId, HiddenClip]
    num_comparisons: Few
    num_ratings: Few
    config: dict[str, Any]
    order_seed: NotRequired[int]
    secret: NotRequired[str]
    sheets: NotRequired[list[dict[str, list[list[ClipId]]]]]


def read_part(file: Path, kind: type, *, error: type[UserError]) -> dict[str, Any]:
    """Returns what study.json or conditions.json says.

    Raises:
        UserError: it is missing or damaged; of the type `error`.
    """
    if not file.is_file():
        raise error(f"{file.parent}: not a study ({file.name} is missing); run 'ostinato listen create'")
    return dict(read_document(file, kind, error=error, advice="create the study again"))


def check_clips(folder: Path, shown: dict[str, Any], hidden: dict[str, Any], *, error: type[UserError]) -> None:
    """Refuses a study of which an audio file is missing or not in its folder, or whose parts are of other clips.

    Raises:
        UserError: it names the file; of the type `error`.
    """
    for path in (
        inside(folder, path, error=error) for clip in shown["clips"].values() for path in clip["files"].values()
    ):
        if not path.is_file():
            raise error(f"{path}: is missing; create the study again")
    if shown["clips"].keys() != hidden["clips"].keys():
        raise error(f"{folder}: study.json and conditions.json name other clips; create the study again")
