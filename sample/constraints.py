"""What bends the network's choice of the next row: constraints that the compiled step goes through in order.

A constraint forbids values (`mask`), makes them more or less probable (`bias`), or changes how the rest is drawn from
(`params`), and may remember something of each sequence between rows. It is what transformers calls a LogitsProcessor,
but pure: its state goes in and comes out, so that it compiles into the step. Letters: b sequences, f fields, v values.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ostinato.music.codec import Elapsed, Grammar, Moment
from ostinato.music.piece import DRUMS
from ostinato.sample.choose import SamplingParams
from ostinato.sample.clock import Clock

Constraints = Mapping[str, "Constraint"]


class Event(NamedTuple):
    """A row that was written."""

    row: Int[Array, "b f"]
    elapsed: Elapsed
    """What the row that was drawn does to the time, even where it was too late and END took its place."""
    num_notes: Int[Array, " b"]
    clock: Clock
    """Before it."""
    is_given: Bool[Array, " b"]
    is_last: Bool[Array, " b"]


class Constraint:
    """Bends nothing. A state is an array or a NamedTuple of arrays."""

    def start(self, batch_size: int) -> Any:
        """Returns the state after START."""
        return ()

    def mask(self, state: Any, moment: Moment, row: Int[Array, "b f"], field: int) -> Bool[Array, "b v"] | None:
        """Returns the values of a field that may be chosen, given the fields of the row before it."""
        return None

    def bias(self, state: Any, row: Int[Array, "b f"], field: int) -> Float[Array, "b v"] | None:
        """Returns nats that are added to the logits of a field."""
        return None

    def params(self, state: Any, params: SamplingParams) -> SamplingParams:
        """Returns how a field is drawn."""
        return params

    def advance(self, state: Any, event: Event) -> Any:
        """Returns the state after a row."""
        return state

    def restart(self, state: Any, batch_size: int) -> Any:
        """Returns the state after the START of the next piece, where one piece follows another."""
        del state
        return self.start(batch_size)


class Legal(Constraint):
    """Only rows that the grammar allows, which may be narrowed to what is asked for."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar

    def start(self, batch_size: int) -> Any:
        return self.grammar.start(jnp, batch_size)

    def mask(self, state: Any, moment: Moment, row: Int[Array, "b f"], field: int) -> Bool[Array, "b v"]:
        return self.grammar.allowed(jnp, state, row, field, moment)

    def advance(self, state: Any, event: Event) -> Any:
        return self.grammar.advance(jnp, state, event.row)


class PitchBias(Constraint):
    """Makes some pitches less probable, but not those of drums."""

    def __init__(self, nats: Float[Array, " 128"], names: Sequence[str]) -> None:
        self.nats, self.instrument, self.pitch = nats, names.index("instrument"), names.index("pitch")

    def bias(self, state: Any, row: Int[Array, "b f"], field: int) -> Float[Array, "b v"] | None:
        if field != self.pitch:
            return None
        is_pitched = (row[:, self.instrument] < DRUMS)[:, None]
        return jnp.where(is_pitched, self.nats[None, :], 0.0)
