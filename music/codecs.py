"""Which codecs there are: they are described in datasets and checkpoints, and made again from there."""

from typing import Any

from ostinato.configs.errors import UserError
from ostinato.music.codec import Codec
from ostinato.music.notes_codec import NotesCodec
from ostinato.music.score_codec import ScoreCodec


def codec_from_json(description: dict[str, Any]) -> Codec:
    """Returns the codec that a dataset or a checkpoint describes.

    Raises:
        UserError: the description is of a codec that this version does not know.
    """
    kinds = {"score": ScoreCodec, "notes": NotesCodec}
    name = description.get("name")
    if name not in kinds:
        raise UserError(
            f"codec {name!r} is not one of {', '.join(kinds)}; it was written by another version of ostinato"
        )
    return kinds[name].from_json(description)


def codec_line(codec: Codec) -> str:
    """Returns what a message says of a codec: its name and the sizes of its fields."""
    return f"{codec.name} with " + ", ".join(f"{field.name} {field.size}" for field in codec.fields)
