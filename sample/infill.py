"""Writes around what is given: voices to a melody, bars into a hole.

The network reads from left to right and cannot see what comes. What is given is forced where it falls, and many
attempts are weighed by how likely they make it: see `particles.py`, and docs/keys.md for how far that carries.
Letters: n rows, f fields, m given rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Integer

from ostinato.configs.errors import UserError
from ostinato.configs.schema import MAX_SEED, SampleConfig
from ostinato.model.network import MusicModel
from ostinato.music.bars import bar_lines, ticks_of_bars
from ostinato.music.codec import FOREVER, Codec
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DRUMS, Notes, Piece
from ostinato.sample.controls import Controls, make_controls, style_number
from ostinato.sample.generate import Generated
from ostinato.sample.parse import parse_instruments
from ostinato.sample.particles import Particles
from ostinato.sample.progress import Progress
from ostinato.sample.schedule import Schedule

_PROGRAMS = np.arange(DRUMS + 1)

_PADDING = 256
"""Schedules are filled up to a multiple of so many rows, so that pieces of many lengths compile once."""

_EVEN = 8
"""The number of attempts is a multiple of this: they are computed in blocks."""


class _Given(NamedTuple):
    """The rows of a piece with their times, from STYLE on, without rests and END."""

    time: Int[np.ndarray, " m"]
    row: Integer[np.ndarray, "m f"]


def harmonise(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    given: Piece,
    *,
    watch: Callable[[float], None] = lambda share: None,
) -> list[Generated]:
    """Returns `config.num_pieces` pieces that hold the given notes, with other instruments around them.

    Args:
        model: the network.
        params: its parameters.
        codec: the `score` codec of the model.
        config: which instruments play (all but the given ones if it names none), what they may do, how many particles.
        given: the melody, or several voices; where `config.melody` names instruments, only theirs.
        watch: is called with the share that is written. What it raises ends the work.

    Raises:
        UserError: the codec is another one, or no note or no instrument is left.
    """
    pieces, progress = [], Progress("generating around the given notes", watch=watch)
    for number in range(config.num_pieces):

        def tell(share: float, *, number: int = number) -> None:
            progress.tell((number + share) / config.num_pieces)

        seed = _seed(config, number)
        attempts = harmony_attempts(model, params, codec, config, given, seed=seed, tell=tell)
        pieces.append(max(attempts, key=lambda piece: piece.log_likelihood))
    return pieces


def harmony_attempts(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    given: Piece,
    *,
    seed: int,
    is_compared: bool = True,
    tell: Callable[[float], None] = lambda share: None,
) -> list[Generated]:
    """Returns what all attempts at one piece around the given notes have become; `harmonise` takes the likeliest.

    Args:
        model, params, codec, config, given: as for `harmonise`.
        seed: of this piece.
        is_compared: attempts that make the given notes unlikely are replaced on the way; without, each goes its own.
        tell: is called with the share that is written.

    Raises:
        UserError: as `harmonise` does.
    """
    check_around(codec, config)
    given = _melody(codec.quantise(given), config)
    programs = {int(program) for program in np.unique(given.notes.program)}
    controls = make_controls(config, codec, tell_key=model.config.key_condition)
    free = np.asarray(controls.limits.programs) & ~np.isin(_PROGRAMS, list(programs))
    if not free.any():
        names = ", ".join(instrument_name(program) for program in sorted(programs))
        raise UserError(f"no instrument is left to play with {names}: name others with --instruments")
    rows = _given_rows(codec, given, style_number(config.style, codec))
    end = given.end_tick
    particles = Particles(
        model, params, codec,
        _without_changes(controls, programs=free, steps=end),
        _schedule(rows, free_from=0, free_until=end, ends=False),
        num_particles=_num_particles(config), seed=seed,
    )  # fmt: skip
    if is_compared:
        # After each moment at which given notes begin.
        moments = np.flatnonzero(np.diff(rows.time, append=rows.time[-1] + 1) > 0) + 1
        for anchor in moments[moments > np.argmax(codec.count_notes(rows.row) > 0)].tolist():
            particles.go_on(anchor, tell)
            particles.resample()
    particles.go_on(int(FOREVER) - 1, tell)
    return _pieces_of(codec, particles, num_given=len(rows.time))


def fill(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    piece: Piece,
    *,
    watch: Callable[[float], None] = lambda share: None,
) -> list[Generated]:
    """Returns the piece with some bars generated again: the `config.num_pieces` attempts, best first, of many.

    The best is that after which the model finds the next `config.look_ahead_bars` bars likeliest, or, if they are
    empty, the first notes behind them.

    Args:
        model: the network.
        params: its parameters.
        codec: the `score` codec of the model.
        config: which bars, what they may hold (the instruments of the piece if it names none), how many particles.
        piece: whose bars stay as they are, but for the codec's grid and those that `config.fill_bars` names.
        watch: is called with the share that is written. What it raises ends the work.

    Raises:
        UserError: the codec is another one, the piece has no such bars, or nothing follows them.
    """
    check_around(codec, config)
    first_bar, num_bars = config.fill_bars
    piece = codec.quantise(piece)
    start, end = find_hole(piece, config)
    in_hole = (piece.notes.onset >= start) & (piece.notes.onset < end)
    around = _chosen(piece, ~in_hole)
    style = style_number(config.style, codec)
    rows = _given_rows(codec, around, style)
    controls = make_controls(config, codec, tell_key=model.config.key_condition)
    programs = controls.limits.programs if config.instruments else np.isin(_PROGRAMS, piece.notes.program)
    controls = _without_changes(controls, programs=programs, steps=int(FOREVER))
    bars_left = len(bar_lines(piece)) - first_bar - num_bars
    _, seen_until = ticks_of_bars(piece, first_bar + num_bars, min(config.look_ahead_bars, bars_left))
    first_after = int(around.notes.onset[around.notes.onset >= end].min())  # after many empty bars, it is this alone
    num_seen = int((rows.time < max(seen_until, first_after + 1)).sum())
    seen = _Given(rows.time[:num_seen], rows.row[:num_seen])
    particles = Particles(
        model, params, codec, controls, _schedule(seen, free_from=start, free_until=end, ends=True),
        num_particles=_num_particles(config), seed=config.seed,
    )  # fmt: skip
    particles.go_on(num_seen, Progress("generating the bars again", watch=watch).tell)
    attempts = _pieces_of(codec, particles, num_given=num_seen)
    filled = [_filled(codec, attempt, around, start, end, style) for attempt in attempts]
    return sorted(filled, key=lambda one: -one.log_likelihood)[: config.num_pieces]


def _filled(codec: Codec, attempt: Generated, around: Piece, start: int, end: int, style: int) -> Generated:
    """Returns the whole piece with what an attempt has in the hole; its log_probs are only those of what follows."""
    notes = codec.decode(attempt.steps).notes
    new = (notes.onset >= start) & (notes.onset < end)
    columns = zip(around.notes, notes, strict=True)
    merged = Notes(*(np.concatenate([kept, column[new]]) for kept, column in columns))
    order = np.lexsort((merged.pitch, merged.program, merged.onset))
    whole = Piece(Notes(*(column[order] for column in merged)), around.tempos, around.meters, around.ticks_per_quarter)
    is_after = _times(codec, attempt.steps) >= end
    log_probs = np.r_[0.0, attempt.log_probs[is_after]].astype(np.float32)
    return attempt._replace(steps=codec.encode(whole, style), log_probs=log_probs, num_primer_steps=1)


def _pieces_of(codec: Codec, particles: Particles, *, num_given: int) -> list[Generated]:
    """Returns what each particle that has had all given rows has written, up to its last note.

    Raises:
        UserError: none has.
    """
    (eos_field, eos_value), (rows, is_written, log_probs) = codec.eos, particles.attempts
    whole = np.flatnonzero(particles.num_given >= num_given)
    if not len(whole):
        raise UserError(f"none of {len(rows)} attempts came to the end: the model writes too many notes between two")
    pieces = []
    for candidate in whole.tolist():
        kept = is_written[candidate] & (rows[candidate, :, eos_field] != eos_value)
        steps = np.concatenate([[codec.start], rows[candidate][kept]])
        nats = np.r_[0.0, log_probs[candidate][kept]]
        last = int(np.flatnonzero(codec.count_notes(steps))[-1]) + 1
        steps = np.concatenate([steps[:last], [codec.end]]).astype(codec.dtype)
        nats = np.r_[nats[:last], 0.0].astype(np.float32)
        pieces.append(
            Generated(steps, 1, ended=False, log_probs=nats, num_loops=0, candidate=candidate, key=particles.key)
        )
    return pieces


def _given_rows(codec: Codec, piece: Piece, style: int) -> _Given:
    steps = codec.encode(piece, style)[1:-1]
    is_rest = codec.grammar.elapsed(np, steps.astype(np.int64)).rest > 0
    return _Given(_times(codec, steps)[~is_rest], steps[~is_rest])


def _times(codec: Codec, steps: Integer[np.ndarray, "n f"]) -> Int[np.ndarray, " n"]:
    """Returns when each row stands, after its rest, in steps since START."""
    elapsed = codec.grammar.elapsed(np, steps.astype(np.int64))
    return np.cumsum(elapsed.time_shift + elapsed.rest)


def _schedule(given: _Given, *, free_from: int, free_until: int, ends: bool) -> Schedule:
    size = -(-len(given.time) // _PADDING) * _PADDING
    time, row = np.full(size, FOREVER, np.int32), np.zeros((size, given.row.shape[1]), np.int32)
    time[: len(given.time)], row[: len(given.time)] = given.time, given.row
    return Schedule(
        time=jnp.asarray(time),
        row=jnp.asarray(row),
        length=jnp.int32(len(given.time)),
        free_from=jnp.int32(free_from),
        free_until=jnp.int32(free_until),
        hold_at=jnp.int32(0),
        ends=jnp.bool_(ends),
    )


def _without_changes(controls: Controls, *, programs: Bool[np.ndarray, " 129"], steps: int) -> Controls:
    """Returns controls under which tempo and meter are those of the given rows, and the piece ends at a time."""
    limits = controls.limits._replace(
        programs=jnp.asarray(programs),
        **dict.fromkeys(("style", "numerator", "denominator", "tempo"), jnp.int32(-1)),
        **dict.fromkeys(("meter_changes", "tempo_changes"), jnp.bool_(False)),
    )
    forever = jnp.int32(FOREVER)
    length = controls.length._replace(bars=forever, seconds=jnp.float32(FOREVER), steps=jnp.int32(steps))
    return controls._replace(limits=limits, length=length, num_notes=forever, may_end=jnp.bool_(False))


def _melody(piece: Piece, config: SampleConfig) -> Piece:
    """Returns the notes of the instruments that have the melody."""
    if config.melody:
        programs = parse_instruments(config.melody)
        piece = _chosen(piece, np.isin(piece.notes.program, programs))
    if not piece.num_notes:
        raise UserError("the melody has no notes; name its instruments with --melody, or leave that out")
    return piece


def _chosen(piece: Piece, which: Bool[np.ndarray, " n"]) -> Piece:
    """Returns the piece with some of its notes."""
    notes = Notes(*(column[which] for column in piece.notes))
    return Piece(notes, piece.tempos, piece.meters, piece.ticks_per_quarter)


def find_hole(piece: Piece, config: SampleConfig) -> tuple[int, int]:
    """Returns where the bars begin and end that are to be filled, in ticks.

    Raises:
        UserError: the piece has no such bars, or nothing follows them.
    """
    first_bar, num_bars = config.fill_bars
    start, end = ticks_of_bars(piece, first_bar, num_bars)
    if not (piece.notes.onset >= end).any():
        raise UserError(f"no note follows bar {first_bar + num_bars - 1}; continue the piece instead (--primer)")
    return start, end


def check_around(codec: Codec, config: SampleConfig) -> None:
    """Refuses music around given notes with a form, or by a codec that cannot.

    Raises:
        UserError: it is so.
    """
    if config.form:
        raise UserError(f"--form {config.form} is for new music; what stands around given notes has their form")
    if not {"harmonise", "fill"} <= codec.grammar.controls:
        raise UserError(f"only a model with the score codec can write around given notes, this one has {codec.name}")


def _num_particles(config: SampleConfig) -> int:
    return -(-config.particles // _EVEN) * _EVEN


def _seed(config: SampleConfig, number: int) -> int:
    return (config.seed + 1_000_003 * number) % (MAX_SEED + 1)
