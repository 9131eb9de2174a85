"""Which codecs there are: they are described in datasets and checkpoints, and made again from there."""

from typing import Annotated, Any, TypedDict

from msgspec import Meta

from ostinato.configs.documents import check_document
from ostinato.configs.errors import UserError
from ostinato.music.codec import Codec
from ostinato.music.notes_codec import NotesCodec
from ostinato.music.score_codec import ScoreCodec

Steps = Annotated[int, Meta(ge=0, le=65_535)]
"""Of the grid; longer gaps and notes are shortened to 96."""
Pitch = Annotated[int, Meta(ge=0, le=127)]
Styles = Annotated[list[str], Meta(min_length=1, max_length=65_535)]


class ScoreDescription(TypedDict):
    """What `ScoreCodec.to_json` writes."""

    styles: Styles


class NotesDescription(TypedDict):
    """What `NotesCodec.to_json` writes."""

    styles: Styles
    vocabulary: Annotated[list[tuple[Steps, Steps, list[Pitch]]], Meta(max_length=65_535)]
    """Gap, duration, pitches."""


def codec_from_json(description: dict[str, Any], *, where: str = "codec", error: type[UserError] = UserError) -> Codec:
    """Returns the codec that a dataset or a checkpoint describes; `where` begins each message.

    Raises:
        UserError: the description is of a codec that this version does not know, or damaged; of the type `error`.
    """
    kinds = {"score": (ScoreCodec, ScoreDescription), "notes": (NotesCodec, NotesDescription)}
    name = description.get("name")
    if not isinstance(name, str) or name not in kinds:
        raise error(
            f"{where} {name!a:.60} is not one of {', '.join(kinds)}; it was written by another version of ostinato"
        )
    codec, kind = kinds[name]
    return codec.from_json(check_document(description, kind, where=where, error=error))


def codec_line(codec: Codec) -> str:
    """Returns what a message says of a codec: its name and the sizes of its fields."""
    return f"{codec.name} with " + ", ".join(f"{field.name} {field.size}" for field in codec.fields)
