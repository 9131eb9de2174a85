"""The contract between music and network: a piece becomes rows of integers and comes back.

A codec turns a piece into steps `Int[n, f]`: a START row, rows for the music, an END row. Column j holds values below
`fields[j].size`. Its grammar says which values may come next, so that a sampler never writes a row that decoding would
have to repair.
"""

from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Integer

from ostinato.music.piece import Piece


class Field(NamedTuple):
    """One column of the steps."""

    name: str
    size: int
    """Values run from 0 to size - 1."""


@runtime_checkable
class Grammar(Protocol):
    """What may come next, for b sequences at once, in NumPy or (inside jit) in jax.numpy: the module is passed as `xp`.

    A state is a NamedTuple of arrays. Field j of the next row is chosen under `allowed(state, row, j)`, where the
    columns of `row` before j are already chosen and the others are ignored.
    """

    def start(self, xp: ModuleType, batch_size: int) -> Any:
        """Returns the state after the START row."""
        ...

    def allowed(self, xp: ModuleType, state: Any, row: Any, field: int) -> Bool[Any, "b v"]:
        """Returns the legal values of one field; at least one in each row."""
        ...

    def advance(self, xp: ModuleType, state: Any, row: Any) -> Any:
        """Returns the state after a legal row `Int32[b, f]`."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Encodes pieces as steps and decodes them."""

    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The smallest dtype that holds every value."""
        ...

    @property
    def start(self) -> tuple[int, ...]:
        """The first row of every piece."""
        ...

    @property
    def end(self) -> tuple[int, ...]:
        """The last row of every piece."""
        ...

    @property
    def end_choice(self) -> tuple[int, int]:
        """The (field, value) that makes a row the END row."""
        ...

    @property
    def note_counts(self) -> Int[np.ndarray, " v"]:
        """How many notes a row carries, by the value of the field that `end_choice` names."""
        ...

    @property
    def grammar(self) -> Grammar: ...
    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the styles, by their number."""
        ...

    def quantise(self, piece: Piece) -> Piece:
        """Returns the piece as the codec can say it: `decode(encode(p)) == quantise(p)`."""
        ...

    def encode(self, piece: Piece, style: int = 0) -> Integer[np.ndarray, "n f"]:
        """Returns the steps of a piece, from START to END."""
        ...

    def decode(self, steps: Integer[np.ndarray, "n f"]) -> Piece:
        """Returns the piece that the steps say; START and END rows may be there or not."""
        ...

    def count_notes(self, steps: Integer[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """Returns how many notes each row carries."""
        ...

    def transpose(self, steps: Integer[np.ndarray, "n f"], semitones: int) -> Integer[np.ndarray, "n f"]:
        """Returns the steps some semitones higher; drums stay. Unchanged where a pitch would leave 0 to 127.

        Raises:
            ValueError: this codec cannot transpose.
        """
        ...

    def scale_tempo(self, steps: Integer[np.ndarray, "n f"], factor: float) -> Integer[np.ndarray, "n f"]:
        """Returns as many steps, with every tempo `factor` times as fast, as far as the codec can say it.

        The factor of the whole piece is brought nearer to 1 where a tempo would leave the codec's range. Steps without
        any tempo come back as they are.

        Raises:
            ValueError: this codec has no tempo.
        """
        ...

    def shift_velocity(self, steps: Integer[np.ndarray, "n f"], amount: int) -> Integer[np.ndarray, "n f"]:
        """Returns as many steps, with all notes, drums too, louder by an amount of MIDI velocity within 1 to 127.

        Raises:
            ValueError: this codec has no velocity.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """Returns what `codec_from_json` needs to make the same codec."""
        ...
