"""A form that is asked for, such as AABA: which bars return, and what of that is due at each row.

The notes of a section that returns are due at their time, as those of a given melody are (`schedule`), only that they
are looked up in what was written before. Letters: b sequences, m bars of the plan, n remembered notes.
"""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ostinato.configs.errors import UserError
from ostinato.model.copy_gate import mixture_logits, sum_columns
from ostinato.music.alignment import LAGS
from ostinato.music.codec import FOREVER, Due
from ostinato.music.score_rows import DURATIONS, GRID, START
from ostinato.sample.choose import row_sums
from ostinato.sample.clock import Clock
from ostinato.sample.copies import AlignmentState, Copies, note_key, note_rows

SECTION_BARS = 8
"""Bars of a section that does not say how many it has."""

_MAX_BARS = 1024
_FAR = 2**17  # bars, whose steps are still int32
_SECTION = re.compile(r"([A-Z])('?)(\d*)")


class FormPlan(NamedTuple):
    """What is asked of each bar; bars are counted from the first bar line at or after the end of the primer."""

    lag: Int[Array, " m"]
    """How many bars back the bar stands that it repeats; 0 where it is free."""
    begin: Int[Array, " m"]
    """The first bar of its section."""
    until: Int[Array, " m"]
    """The first bar of the next section."""
    next_return: Int[Array, " m"]
    """The first bar of the next section that returns; far away where none does. Until then notes may be held."""
    is_varied: Bool[Array, " m"]
    """Only notes on quarters have to return."""
    num_bars: int | Int[Array, ""]


class Returning(NamedTuple):
    """What a plan asks of the next row."""

    due: Due
    free_from: Int[Array, " b"]
    """Steps from now before which nothing else begins."""


def parse_form(text: str) -> FormPlan:
    """Returns the plan of a form: sections such as A, A' (varied) or B16 (of 16 bars), one after the other.

    A section whose letter was heard before returns: exactly, or with a ' on its quarters alone. It may be shorter than
    the first one of its letter.

    Raises:
        UserError: it is none, a section returns that was shorter, or there are too many bars.
    """
    compact = re.sub(r"[\s,-]", "", text).replace("′", "'").replace("’", "'")  # noqa: RUF001
    sections = _SECTION.findall(compact)
    if not sections or "".join("".join(section) for section in sections) != compact:
        raise UserError(f"form {text!r} is not a row of sections such as AABA, AA'BA or A16B8A16")
    first: dict[str, tuple[int, int]] = {}
    lag, begins, until, is_varied = [], [], [], []
    for letter, prime, digits in sections:
        begin, length = len(lag), int(digits or SECTION_BARS)
        source, longest = first.setdefault(letter, (begin, length))
        if not 1 <= length <= _MAX_BARS - begin:
            raise UserError(f"form {text!r} has a section of {length} bars; 1 to {_MAX_BARS} in all are allowed")
        if length > longest:
            raise UserError(f"form {text!r}: {letter} cannot return with {length} bars, since it has {longest}")
        lag += [begin - source] * length
        begins += [begin] * length
        until += [begin + length] * length
        is_varied += [bool(prime)] * length
    filled = _MAX_BARS + 1 - len(lag)  # the bar after the last one is looked at, too
    next_return = [next((i for i in range(end, len(lag)) if lag[i]), _FAR) for end in until]
    return FormPlan(
        lag=jnp.asarray(np.pad(lag, (0, filled)), jnp.int32),
        begin=jnp.asarray(np.pad(begins, (0, filled)), jnp.int32),
        until=jnp.asarray(np.pad(until, (0, filled), constant_values=_MAX_BARS), jnp.int32),
        next_return=jnp.asarray(np.pad(next_return, (0, filled), constant_values=_FAR), jnp.int32),
        is_varied=jnp.asarray(np.pad(is_varied, (0, filled))),
        num_bars=len(lag),
    )


def ask(
    plan: FormPlan, memory: AlignmentState, row: Int[Array, "b 5"], clock: Clock, copies: Copies | None,
    shift_logits: Float[Array, "b v"], uniform: Float[Array, " b"],
) -> tuple[Returning, Copies | None, Float[Array, " b"]]:  # fmt: skip
    """Returns what a plan asks of the next row, the copies that it leaves, and what is left to decide the time shift.

    Args:
        plan: the form.
        memory: what was written.
        row: the last row.
        clock: behind it.
        copies: of a network with a copy gate.
        shift_logits: the network's, of the next row's time shift.
        uniform: what decides it, in [0, 1).
    """
    if copies is None:
        log_probabilities = jax.nn.log_softmax(shift_logits)
    else:
        copies = _without_earlier_sections(plan, copies, clock)
        log_probabilities = mixture_logits(shift_logits, *copies.of_field(0))
    asked, uniform = _may_leave(_returning(plan, memory, row, clock), jnp.exp(log_probabilities), uniform)
    return asked, copies, uniform


def _returning(plan: FormPlan, memory: AlignmentState, row: Int[Array, "b 5"], clock: Clock) -> Returning:
    """Returns what is due after a row, with the clock behind it.

    In a section that returns that is its next note, and nothing else may be written; in a free one before such a
    section it is the first note of that, and what is written ends before.
    """
    bar = jnp.clip(clock.bars, 0, len(plan.lag) - 1)
    is_in_plan = clock.bars >= 0
    lag, is_varied = jnp.where(is_in_plan, plan.lag[bar], 0), plan.is_varied[bar]
    next_bar = jnp.minimum(jnp.where(is_in_plan, plan.until[bar], 0), len(plan.lag) - 1)
    next_return = jnp.where(is_in_plan, plan.next_return[bar], jnp.argmax(plan.lag > 0))

    def begin(number: Int[Array, " b"]) -> Int[Array, " b"]:
        return clock.now - clock.bar_position + (number - clock.bars) * clock.bar_length

    section_end = begin(next_bar)
    key = jnp.where(row[:, 1] < START, (row[:, 1] << 7) | row[:, 2], -1)
    here = _first(memory, clock.now, key, lag * clock.bar_length, section_end, is_varied)
    there = _first(
        memory, section_end, -jnp.ones_like(key), plan.lag[next_bar] * clock.bar_length, begin(plan.until[next_bar]),
        plan.is_varied[next_bar],
    )  # fmt: skip
    time, note, found = (jnp.where(here[2], a, b) for a, b in zip(here, there, strict=True))
    wait = jnp.where(found, time - clock.now, FOREVER)

    # No note is held into a later return, whose notes may be the same.
    end = begin(jnp.where(here[2], next_return, plan.next_return[next_bar]))
    fitting = jnp.searchsorted(jnp.asarray(DURATIONS), jnp.maximum(end - time, 1), side="right") - 1
    due = note_rows(note, jnp.zeros_like(time))
    due = due.at[:, 3].set(jnp.minimum(due[:, 3], fitting))

    is_exact = (lag > 0) & ~is_varied
    free_until = jnp.minimum(wait, begin(next_return) - clock.now)
    return Returning(
        due=Due(wait=wait, row=due, free_until=jnp.where(is_exact & found, 0, free_until)),
        free_from=jnp.where(is_exact, jnp.minimum(wait, section_end - clock.now), 0),
    )


def _without_earlier_sections(plan: FormPlan, copies: Copies, clock: Clock) -> Copies:
    """Returns the copies without those that a new section would take from the sections before it."""
    bar = jnp.clip(clock.bars, 0, len(plan.lag) - 1)
    is_new = (clock.bars >= 0) & (clock.bars < plan.num_bars) & (plan.lag[bar] == 0)
    is_own = jnp.asarray(LAGS)[None, :] <= (clock.bars - plan.begin[bar])[:, None]
    kept = jnp.where(is_new[:, None] & ~is_own, 0, copies.weights[:, 1:])
    weights = jnp.concatenate([jnp.maximum(copies.weights[:, :1], 1e-30), kept], axis=1)
    return copies._replace(weights=weights / sum_columns(weights)[:, None])


def _may_leave(
    asked: Returning, probabilities: Float[Array, "b v"], uniform: Float[Array, " b"]
) -> tuple[Returning, Float[Array, " b"]]:
    """Returns what is asked of the next row, where it may go on to what is due, and what is left to decide its shift.

    What the model gives to all times from the due note on, or from the end of a free section on, is how likely nothing
    more comes before. Without it the model would fill what is left of a section with notes that it does not want.

    Args:
        asked: by the plan.
        probabilities: of the time shifts, whatever is allowed.
        uniform: what decides, in [0, 1).
    """
    due = asked.due
    is_beyond = jnp.arange(probabilities.shape[1])[None, :] >= due.free_until[:, None]
    beyond = row_sums(jnp.where(is_beyond, probabilities, 0))[:, 0]
    leaves = uniform < beyond
    within = (uniform - beyond) / jnp.maximum(1 - beyond, 1e-9)
    is_known = due.wait < FOREVER
    free_until = jnp.where(leaves, jnp.where(is_known, 0, FOREVER), due.free_until)
    free_from = jnp.where(leaves, jnp.where(is_known, due.wait, due.free_until), asked.free_from)
    uniform = jnp.clip(jnp.where(leaves, uniform / jnp.maximum(beyond, 1e-9), within), 0, 1 - 2**-24)
    return Returning(due._replace(free_until=free_until), jnp.maximum(free_from, asked.free_from)), uniform


def _first(
    memory: AlignmentState, now: Int[Array, " b"], key: Int[Array, " b"], back: Int[Array, " b"],
    before: Int[Array, " b"], on_quarters: Bool[Array, " b"],
) -> tuple[Int[Array, " b"], Int[Array, " b"], Bool[Array, " b"]]:  # fmt: skip
    """Returns when the next note of a return begins, the note, and whether there is one.

    It is the first remembered note which, `back` steps later, stands after (now, key) and before `before`.
    """
    time, keys = memory.time + back[:, None], note_key(memory.note)
    slot = jnp.arange(time.shape[1])[None, :]
    wait = time - now[:, None]
    fits = (slot < memory.num_notes[:, None]) & (back > 0)[:, None] & (time < before[:, None])
    fits &= (wait > 0) | ((wait == 0) & (keys > key[:, None]))
    fits &= ~on_quarters[:, None] | (time % GRID == 0)
    order = jnp.where(fits, (jnp.minimum(wait, 2**15) << 15) | keys, FOREVER)
    best = jnp.argmin(order, axis=1)
    sequence = jnp.arange(len(now))
    return time[sequence, best], memory.note[sequence, best], fits[sequence, best]
