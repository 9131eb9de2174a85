"""From parameters to new pieces: batches, candidates, primers and lengths around the compiled function of `step.py`.

Letters: p pieces, t steps of a chunk, f fields, n rows of a piece.
"""

import logging
import math
from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Bool, Float, Int, Integer
from more_itertools import chunked

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.model.network import MusicModel
from ostinato.music.cadence import closes
from ostinato.music.codec import FOREVER, Codec
from ostinato.music.keys import Key as MusicalKey
from ostinato.music.keys import key_margin
from ostinato.music.piece import make_piece
from ostinato.sample.blocks import CHUNK, choose_width, largest_batch
from ostinato.sample.controls import Controls, controls_for, told_key
from ostinato.sample.draws import piece_keys
from ostinato.sample.ending import NUM_TAKES
from ostinato.sample.primers import Primer
from ostinato.sample.progress import Progress, share_written
from ostinato.sample.step import State, prepare_network, start_states, write_chunk

logger = logging.getLogger(__name__)

MAX_STEPS_PER_NOTE = 16
"""A piece with more control rows than this is cut: the model has lost its way."""

MAX_STEPS_PER_BAR = 512
MAX_STEPS_PER_SECOND = 512
"""A piece with more rows is cut likewise."""

CLEAR = 0.02
"""A piece is in a key where `key_margin` is as much. Of 12 bars by the model `pop`, music21 hears 89 % of those above 0
in the same key, and 92 % of those above this."""


class Generated(NamedTuple):
    """One generated piece."""

    steps: Integer[np.ndarray, "n f"]
    """From START to END."""
    num_primer_steps: int
    """Rows at the beginning that were given."""
    ended: bool
    """The model wrote END by itself."""
    log_probs: Float[np.ndarray, " n"]
    """Nats that the model gave to each row, at temperature 1; 0 for START and for an END that it did not write."""
    num_loops: int
    """Loops that the guard broke, or tried to."""
    candidate: int = 0
    """Which one this is of `best_of` candidates in each of `key_tries` attempts."""
    key: MusicalKey | None = None
    """What the network was told."""
    primer_end: int = 0
    """Steps of the grid from START to the end of the primer, before which nothing new begins."""

    @property
    def log_likelihood(self) -> float:
        """Mean nats that the model gave to a row that was written after the primer; -inf where there is none."""
        written = self.log_probs[self.num_primer_steps : None if self.ended else -1]
        return float(written.mean()) if len(written) else -math.inf


def generate(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    primers: Sequence[Primer] = (),
    *,
    score: Callable[[Generated], float] | None = None,
    devices: Sequence[Any] | None = None,
    watch: Callable[[list[int], Int[np.ndarray, "p t f"]], None] | None = None,
) -> list[Generated]:
    """Returns `config.num_pieces` new pieces, each the best of `config.best_of` candidates.

    Args:
        model, params, codec, config, primers, devices, watch: as of `generate_candidates`.
        score: of two candidates the one with the higher score is better; their likelihood by default.

    Raises:
        UserError: as `generate_candidates`.
    """
    candidates = generate_candidates(model, params, codec, config, primers, devices=devices, watch=watch)
    return [max(few, key=score or attrgetter("log_likelihood")) for few in candidates]


def generate_candidates(
    model: MusicModel,
    params: Any,
    codec: Codec,
    config: SampleConfig,
    primers: Sequence[Primer] = (),
    *,
    devices: Sequence[Any] | None = None,
    watch: Callable[[list[int], Int[np.ndarray, "p t f"]], None] | None = None,
) -> list[list[Generated]]:
    """Returns `config.best_of` candidates for each of `config.num_pieces` new pieces.

    Where the network is told a key, a piece of which no candidate is clearly in it is written again, `config.key_tries`
    times in all. Those are returned that are, of the first attempt with any; where none is, the one that is nearest.

    Args:
        model: the network.
        params: its parameters.
        codec: whose fields the network was built for.
        config: how many pieces, how long, how bold, and all that is asked of them.
        primers: what the pieces begin with; piece i begins with primer i modulo their number. Without primers every
            piece begins with START alone.
        devices: that share the work; all of this process by default. They change the speed, not the music.
        watch: is shown the numbers of the pieces that are being written, and the next rows of the first candidate of
            each, primers too, END rows where a piece is over. What it raises ends the work.

    Raises:
        UserError: a primer does not begin with START, or something is asked for that cannot be (`make_controls`).
    """
    primers = list(primers) or [Primer(np.array([codec.start]))]
    for primer in primers:
        first = tuple(primer.steps[0])
        if first != codec.start:
            raise UserError(f"a primer begins with {first}, it must begin with the START row {codec.start}")
    writer = _Writer(model, params, codec, config, primers, devices, watch)
    found: dict[int, list[tuple[float, Generated]]] = {}
    missing = list(range(config.num_pieces))
    for attempt in range(writer.num_attempts):
        for number, candidates in zip(missing, writer.write(missing, attempt), strict=True):
            tried = [*found.get(number, []), *((clearness(codec, one), one) for one in candidates)]
            found[number] = [one for one in tried if one[0] >= CLEAR] or [max(tried, key=itemgetter(0))]
        missing = [number for number in missing if found[number][0][0] < CLEAR]
        if not missing:
            break
    return [[piece for _, piece in found[number]] for number in range(config.num_pieces)]


def clearness(codec: Codec, piece: Generated) -> float:
    """Returns how clearly what was written after the primer is in the key that the network was told; see `key_margin`.

    Infinite where it was told none.
    """
    if piece.key is None:
        return math.inf
    return key_margin(codec.decode(piece.steps[piece.num_primer_steps :]), piece.key)


def closing(codec: Codec, piece: Generated) -> tuple[bool, bool, float]:
    """Returns how well a take of an ending closes; of two the greater is better."""
    return closes(codec.decode(piece.steps)), piece.ended, float(piece.log_probs[-1])


class _Sequences(NamedTuple):
    """What is written together: which piece, candidate and take of its ending each is."""

    piece: Int[np.ndarray, " p"]
    candidate: Int[np.ndarray, " p"]
    take: Int[np.ndarray, " p"]


class _Writer:
    """Writes pieces in batches of one size, in blocks, on several devices."""

    def __init__(
        self,
        model: MusicModel,
        params: Any,
        codec: Codec,
        config: SampleConfig,
        primers: list[Primer],
        devices: Sequence[Any] | None,
        watch: Callable[[list[int], Int[np.ndarray, "p t f"]], None] | None,
    ) -> None:
        self.model, self.codec, self.config, self.primers, self.watch = model, codec, config, primers, watch
        self.controls = controls_for(model.config, config, codec)
        self.num_takes = NUM_TAKES if bool(self.controls.ends & ~self.controls.may_end) else 1
        # What is not drawn is the same in each attempt.
        self.num_attempts = config.key_tries if bool(jnp.any(self.controls.temperature > 0)) else 1
        devices = list(devices or jax.local_devices())
        total = config.num_pieces * config.best_of * self.num_takes
        at_once = min(config.batch_size, total, largest_batch(model, len(devices)))
        self.width = choose_width(-(-at_once // len(devices)))
        devices = devices[: -(-at_once // self.width)]
        self.num_blocks = -(-at_once // (self.width * len(devices))) * len(devices)
        self.mesh = Mesh(np.array(devices), ("blocks",))
        self.network = jax.device_put(prepare_network(model, params), NamedSharding(self.mesh, P()))

    def write(self, numbers: list[int], attempt: int) -> list[list[Generated]]:
        """Returns all candidates of an attempt at the pieces with these numbers, each the best of its takes."""
        config, num_takes = self.config, self.num_takes
        of_piece, batch_size = config.best_of * num_takes, self.width * self.num_blocks
        total = len(numbers) * of_piece
        num_batches = -(-total // batch_size)
        progress = Progress("generating again what is heard in another key" if attempt else "generating")
        written: list[Generated] = []
        for number in range(num_batches):
            place = number * batch_size + np.arange(batch_size)
            piece = np.array(numbers)[np.minimum(place // of_piece, len(numbers) - 1)]  # the last one fills up
            candidate, take = np.divmod(place % of_piece, num_takes)
            sequences = _Sequences(piece, attempt * config.best_of + candidate, take)

            def tell(share: float, *, number: int = number) -> None:
                progress.tell((number + share) / num_batches)

            written += self._write_batch(sequences, tell)
        written = [
            max(few, key=lambda piece: closing(self.codec, piece)) for few in chunked(written[:total], num_takes)
        ]
        if looped := {numbers[i // config.best_of] for i, piece in enumerate(written) if piece.num_loops}:
            logger.info("the loop guard heated pieces %s, which had begun to repeat themselves", sorted(looped))
        return list(chunked(written, config.best_of))

    def _write_batch(self, sequences: _Sequences, tell: Callable[[float], None]) -> list[Generated]:
        primers = [self.primers[number % len(self.primers)] for number in sequences.piece]
        keys = piece_keys(self.config, sequences.piece, sequences.candidate).reshape(self.num_blocks, self.width)
        num_fields = len(self.codec.fields)
        # Laid out as they come back, or the second chunk would be compiled for another layout.
        split = NamedSharding(self.mesh, P("blocks"))
        state = start_states(self.model, self.codec, self.num_blocks, self.width, self.controls)
        takes = jnp.asarray(sequences.take / self.num_takes, jnp.float32).reshape(keys.shape)
        state = after_primers(state, primers)
        state = state._replace(take=state.take + takes)
        state, keys = jax.device_put((state, keys), split)
        primed = given_chunks(primers, num_fields)
        nothing = (
            np.zeros((len(primers), CHUNK, num_fields), np.int32),
            np.zeros((len(primers), CHUNK), bool),
        )
        max_chunks = len(primed) + -(-_max_steps(self.config, self.controls) // CHUNK)

        rows: list[np.ndarray] = []
        log_probs: list[np.ndarray] = []
        while len(rows) < max_chunks and not (rows and bool(jnp.all(state.done))):
            given, is_given = primed[len(rows)] if len(rows) < len(primed) else nothing
            written, state = write_chunk(
                self.model,
                self.codec,
                self.mesh,
                False,
                self.network,
                state,
                keys,
                jax.device_put(given.reshape(*keys.shape, CHUNK, num_fields), split),
                jax.device_put(is_given.reshape(*keys.shape, CHUNK), split),
                self.controls,
                None,
            )
            rows.append(np.asarray(written.row).reshape(-1, CHUNK, num_fields))
            log_probs.append(np.asarray(written.log_prob).reshape(-1, CHUNK))
            tell(share_written(state, self.controls, len(rows) / max_chunks))
            if self.watch:
                numbers, first = np.unique(sequences.piece, return_index=True)
                self.watch(numbers.tolist(), rows[-1][first])
        return self._finished(np.concatenate(rows, 1), np.concatenate(log_probs, 1), state, primers, sequences)

    def _finished(
        self, rows: np.ndarray, log_probs: np.ndarray, state: State, primers: list[Primer], sequences: _Sequences
    ) -> list[Generated]:
        """Cuts each row of the batch where its piece ends, and says what went wrong."""
        config, done = self.config, np.ravel(state.done)
        num_loops = np.ravel(state.constraints["loop_guard"].num_loops)
        ends_early = config.num_notes or config.num_bars or config.num_seconds or config.form
        if ends_early and not done.all():
            short = np.unique(sequences.piece[~done]).tolist()
            wanted = f"{config.num_notes} notes" if config.num_notes else "was asked for"
            logger.warning("pieces %s have fewer than %s: they were cut after %d rows", short, wanted, rows.shape[1])
        pieces, key = [], told_key(self.controls)
        for i, primer in enumerate(primers):
            piece = _cut(self.codec, rows[i], log_probs[i], primer.steps, self.controls)
            candidate = int(sequences.candidate[i])
            pieces.append(
                piece._replace(num_loops=int(num_loops[i]), candidate=candidate, key=key, primer_end=primer.end)
            )
        return pieces


def _header_length(codec: Codec) -> int:
    nothing: tuple[int, ...] = ()
    empty = make_piece(
        onset=nothing, duration=nothing, pitch=nothing, velocity=nothing, program=nothing, ticks_per_quarter=1
    )
    return len(codec.encode(empty)) - 1


def _max_steps(config: SampleConfig, controls: Controls) -> int:
    num_bars = int(controls.length.bars)
    if num_bars < FOREVER:
        return MAX_STEPS_PER_BAR * num_bars
    if config.num_seconds:
        return MAX_STEPS_PER_SECOND * int(np.ceil(config.num_seconds))
    return MAX_STEPS_PER_NOTE * (config.num_notes or config.max_notes)


def after_primers(state: State, primers: list[Primer]) -> State:
    """Returns the state after START of blocks whose sequences begin with these."""
    begin = jnp.asarray([primer.end for primer in primers], jnp.int32)
    return state._replace(clock=state.clock._replace(begin=begin.reshape(state.clock.begin.shape)))


def given_chunks(
    primers: list[Primer], num_fields: int
) -> list[tuple[Int[np.ndarray, "p t f"], Bool[np.ndarray, "p t"]]]:
    """Returns the rows that are given, and where they are, for each chunk that has any."""
    num_chunks = -(-(max(len(primer.steps) for primer in primers) - 1) // CHUNK)
    given = np.zeros((len(primers), num_chunks * CHUNK, num_fields), np.int32)
    is_given = np.zeros(given.shape[:2], bool)
    for row, primer in enumerate(primers):
        given[row, : len(primer.steps) - 1] = primer.steps[1:]  # START is the state's first row
        is_given[row, : len(primer.steps) - 1] = True
    return (
        list(zip(np.split(given, num_chunks, 1), np.split(is_given, num_chunks, 1), strict=True)) if num_chunks else []
    )


def _cut(codec: Codec, rows: np.ndarray, log_probs: np.ndarray, primer: np.ndarray, controls: Controls) -> Generated:
    """Returns a piece up to where it ends."""
    steps, log_probs = np.concatenate([np.array([codec.start]), rows]), np.concatenate([[0], log_probs])
    field, value = codec.eos
    ends = np.flatnonzero(steps[:, field] == value)
    length = ends[0] if len(ends) else len(steps)
    notes = codec.count_notes(steps[:length])
    # A piece that was cut ends with its last note: what follows would announce a note that never comes.
    last_note = np.flatnonzero(notes)[-1] if notes.any() else _header_length(codec) - 1
    # Where the sampler closed the piece, nothing was drawn.
    may_end = bool(log_probs[length : length + 1].any()) if bool(controls.ends) else bool(controls.may_end)
    ended = bool(len(ends)) and may_end and notes[len(primer) :].sum() < int(controls.num_notes)
    end_log_prob = log_probs[length] if ended else 0.0
    steps = np.concatenate([steps[: last_note + 1], np.array([codec.end])]).astype(codec.dtype)
    log_probs = np.append(log_probs[: last_note + 1], end_log_prob).astype(np.float32)
    return Generated(steps, len(primer), bool(ended), log_probs, num_loops=0)
