"""The contract between music and network: a piece becomes rows of integers and comes back.

A codec turns a piece into steps `Int[n, f]`: a START row, one row for each event, an END row. Column j holds values
below `fields[j].size`. Its grammar says which values may come next, so that a sampler never writes a row that decoding
would have to repair.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Int, Integer

from ostinato.configs.errors import UserError
from ostinato.music.account import NoteAccount
from ostinato.music.alignment import Alignment
from ostinato.music.piece import Piece

FOREVER = np.int32(2**30)
"""Steps of the grid, or notes; longer than any piece."""

Transform = Callable[[Integer[np.ndarray, "n f"], int], Integer[np.ndarray, "n f"]]
"""Returns as many steps, changed by an amount."""


_TRANSFORMS = {
    "transpose": ("transpose a pitch", "max-transpose"),
    "tempo": ("change the tempo", "max-tempo-change"),
    "velocity": ("change the velocity", "max-velocity-change"),
}
"""What each is called, and the option that asks for it."""


class Field(NamedTuple):
    """One column of the steps."""

    name: str
    size: int
    """Values run from 0 to size - 1."""


class Specials(NamedTuple):
    """Values of one field that make a row START or END, in which all other fields are 0.

    The same field tells how many notes a row carries.
    """

    field: int
    start: int
    end: int
    unknown: int | None = None
    """Stands for what the codec cannot say, and is never legal."""


class Elapsed(NamedTuple):
    """What each row does to the time. A step is `Grammar.grid`."""

    time_shift: Int[Any, " b"]
    """Steps before it."""
    rest: Int[Any, " b"]
    """Steps after it."""
    bar_length: Int[Any, " b"]
    """Steps of a bar from now on; 0 where the meter stays."""
    seconds_per_step: Any
    """From now on; 0 where the tempo stays."""


class Request(NamedTuple):
    """What is asked of the rows that a sampler writes."""

    programs: Bool[np.ndarray, " 129"]
    pitches: Bool[np.ndarray, " 128"]
    """Of all programs but drums."""
    style: int | None = None
    meter: tuple[int, int] | None = None
    tempo: int | None = None
    """Beats per minute."""


class Due(NamedTuple):
    """The row that is given next, for each sequence. All times are steps from now."""

    wait: Int[Any, " b"]
    """Never negative; very long where no row is left."""
    row: Int[Any, "b f"]
    """Its time shift is not looked at: it follows from the row that comes to stand before it."""
    free_until: Int[Any, " b"]
    """Other notes end by then."""


class Moment(NamedTuple):
    """What limits the next row beside the rows before it. Without one nothing does."""

    steps_left: Any = FOREVER
    """[b] until the end of the piece."""
    notes_left: Any = FOREVER
    """[b] until it has as many as were asked for."""
    may_end: Any = True
    """[b] END may be chosen."""
    due: Due | None = None
    free_from: Any = np.int32(0)
    """[b] steps from now before which nothing new begins, neither a note nor a change of tempo or meter."""


ANY_MOMENT = Moment()


class Grammar(Protocol):
    """What may come next, for b sequences at once, in NumPy or (inside jit) in jax.numpy: the module is passed as `xp`.

    A state is a NamedTuple of arrays, or an array.
    """

    @property
    def grid(self) -> int:
        """Steps of a quarter note."""
        ...

    @property
    def controls(self) -> frozenset[str]:
        """The options of `ostinato sample` that not every grammar knows and this one does."""
        ...

    @property
    def note_counts(self) -> Int[np.ndarray, " v"]:
        """How many notes a row carries, by the value of the field that `Specials` names."""
        ...

    def limits(self, request: Request) -> Any:
        """Returns what is asked for as arrays for `narrowed`.

        Raises:
            UserError: the codec cannot say it, or no note is left.
        """
        ...

    def narrowed(self, limits: Any) -> "Grammar":
        """Returns the grammar of those legal sequences whose new rows keep to the limits."""
        ...

    def start(self, xp: ModuleType, batch_size: int) -> Any:
        """Returns the state after the START row."""
        ...

    def allowed(self, xp: ModuleType, state: Any, row: Any, field: int, moment: Moment = ...) -> Bool[Any, "b v"]:
        """Returns the legal values of one field; at least one in each row.

        The columns of `row` before the field are already chosen, and the others are ignored.
        """
        ...

    def final_chord(self, xp: ModuleType, state: Any, row: Any, field: int, begin: Any) -> Bool[Any, "b v"] | None:
        """Returns the values of one field with which a row is, or stands before, a chord on which a piece can rest.

        The chord comes `begin` steps from now, [b], or where that is not above 0, whenever a note comes. None where all
        values are such, or a row is more than a note.
        """
        ...

    def may_rest(self, xp: ModuleType, state: Any, position: Any, bar_length: Any) -> Bool[Any, " b"]:
        """Returns where a piece that is to come to an end may do so after the last row.

        Args:
            xp: numpy or jax.numpy.
            state: after that row.
            position: [b] steps since the last bar line.
            bar_length: [b] steps.
        """
        ...

    def advance(self, xp: ModuleType, state: Any, row: Any) -> Any:
        """Returns the state after a legal row `Int32[b, f]`."""
        ...

    def elapsed(self, xp: ModuleType, row: Any) -> Elapsed:
        """Returns what rows `Int[b, f]` do to the time."""
        ...


class Encoding(NamedTuple):
    """A piece in a codec's words, and what it cost."""

    steps: Integer[np.ndarray, "n f"]
    piece: Piece
    """What the steps say."""
    account: NoteAccount
    """What became of the notes on the way; nothing is said of those that were read."""


class Codec:
    """Encodes pieces as steps and decodes them. A codec declares these ten things; the rest follows from them."""

    name: str
    dtype: type[np.unsignedinteger]
    """Of the steps on disk; it holds every value."""
    specials: Specials
    styles: tuple[str, ...]
    """Names of the styles, by their number."""
    can_align: bool = False
    """Whether `align` says what was heard some bars ago; only of rows that are notes with a time."""
    has_keys: bool = False
    """Whether `key_of` finds a key."""
    transforms: Mapping[str, Transform]
    """How steps can be changed while they stay legal: `transpose` by semitones, `tempo` by per cent, `velocity`."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns of the steps."""
        raise NotImplementedError

    @property
    def grammar(self) -> Grammar:
        """Which rows may follow which, and what they do to the time."""
        raise NotImplementedError

    def encode(self, piece: Piece, style: int = 0) -> Integer[np.ndarray, "n f"]:
        """Returns the steps of a piece, from START to END."""
        raise NotImplementedError

    def encode_reporting(self, piece: Piece, style: int = 0) -> Encoding:
        """Returns the steps of a piece with what was lost."""
        steps = self.encode(piece, style)
        said = self.decode(steps)
        return Encoding(steps, said, NoteAccount(left_out=piece.num_notes - said.num_notes))

    def decode(self, steps: Integer[np.ndarray, "n f"]) -> Piece:
        """Returns the piece that the steps say; START and END rows may be there or not."""
        raise NotImplementedError

    def align(self, steps: Integer[np.ndarray, "n f"], misheard: Bool[np.ndarray, " n"] | None = None) -> Alignment:
        """Returns what was heard some bars ago at each row; `misheard` rows count as no return of anything."""
        raise NotImplementedError

    def mark_transposed(self, steps: Integer[np.ndarray, "n f"], semitones: int) -> Integer[np.ndarray, "n f"]:
        """Returns the steps of a transposed piece; its first row says by how much, where the codec has a place."""
        return steps

    def keys_of(self, steps: Integer[np.ndarray, "n f"], *, quarters: int = 0) -> Int[np.ndarray, " n"]:
        """Returns the `key_value` of each row of a piece, by how long each pitch class sounds.

        Args:
            steps: a whole piece.
            quarters: how much of it around the row is heard, or 0, all.
        """
        raise NotImplementedError

    def quantise(self, piece: Piece) -> Piece:
        """Returns the piece as the codec can say it: `decode(encode(piece))`."""
        return self.decode(self.encode(piece))

    def to_json(self) -> dict[str, Any]:
        """Returns what `codec_from_json` needs to make the same codec."""
        raise NotImplementedError

    @property
    def start(self) -> tuple[int, ...]:
        """The first row of every piece."""
        return self._row(self.specials.start)

    @property
    def end(self) -> tuple[int, ...]:
        """The last row of every piece."""
        return self._row(self.specials.end)

    @property
    def eos(self) -> tuple[int, int]:
        """The (field, value) that makes a row the END row."""
        return self.specials.field, self.specials.end

    @property
    def silence(self) -> tuple[int, ...] | None:
        """A row that sounds as silence, for as long as its grammar says; None where rests are rows of their own."""
        return None if self.specials.unknown is None else self._row(self.specials.unknown)

    def count_notes(self, steps: Integer[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
        """Returns how many notes each row carries."""
        return self.grammar.note_counts[np.asarray(steps)[:, self.specials.field]]

    def transform(self, name: str, steps: Integer[np.ndarray, "n f"], amount: int) -> Integer[np.ndarray, "n f"]:
        """Returns the steps changed by one of `transforms`; an amount of 0 changes nothing.

        Raises:
            UserError: this codec has no such change.
        """
        if not amount:
            return steps
        if name not in self.transforms:
            verb, option = _TRANSFORMS[name]
            raise UserError(f"the {self.name} codec cannot {verb}: its integers have none; set --data.{option} 0")
        return self.transforms[name](steps, amount)

    def _row(self, value: int) -> tuple[int, ...]:
        return tuple(value if j == self.specials.field else 0 for j in range(len(self.fields)))
