"""What is asked of the sampler, as arrays that the compiled function takes: another wish compiles nothing anew.

Letters: f fields, v values.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.music.codec import Codec
from ostinato.music.notes_codec import NUM_SPECIAL, UNKNOWN, NotesCodec
from ostinato.music.piece import DRUMS
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import MAX_BPM, MAX_NUMERATOR, MIN_BPM, NUM_DENOMINATORS
from ostinato.sample.clock import FOREVER, Length
from ostinato.sample.score_masks import ScoreWishes
from ostinato.sample.wishes import parse_instruments, parse_key, parse_meter, parse_pitch

RHYTHM = ("shift", "duration")
"""The fields that the name 'rhythm' stands for."""


class NotesWishes(NamedTuple):
    """What the integers of the `notes` codec may be."""

    events: Bool[Array, " v"]


class Controls(NamedTuple):
    """All that may be asked for. Scalars where no axis is named."""

    temperature: Float[Array, " f"]
    top_k: Int[Array, ""]
    top_p: Float[Array, ""]
    min_p: Float[Array, ""]
    num_notes: Int[Array, ""]
    may_end: Bool[Array, ""]
    """The model may end a piece before it is as long as asked for."""
    length: Length
    density: Float[Array, ""]
    """Notes in a bar; 0 leaves them to the model."""
    loop_repeats: Int[Array, ""]
    wishes: Any
    """ScoreWishes or NotesWishes."""


def make_controls(config: SampleConfig, codec: Codec) -> Controls:
    """Returns what a configuration asks for.

    Raises:
        UserError: a name is not known, the codec has no such thing, or no note is left that may be written.
    """
    for_bars_or_seconds = bool(config.num_bars or config.num_seconds)
    max_notes = FOREVER if for_bars_or_seconds else config.num_notes or config.max_notes
    return Controls(
        temperature=jnp.array(_temperatures(config, codec), jnp.float32),
        top_k=jnp.int32(config.top_k),
        top_p=jnp.float32(config.top_p),
        min_p=jnp.float32(config.min_p),
        num_notes=jnp.int32(max_notes),
        may_end=jnp.bool_(not for_bars_or_seconds and not config.num_notes),
        length=Length(
            bars=jnp.int32(config.num_bars or FOREVER),
            seconds=jnp.float32(config.num_seconds or FOREVER),
            steps=jnp.int32(FOREVER),
        ),
        density=jnp.float32(config.density),
        loop_repeats=jnp.int32(config.loop_guard),
        wishes=_score_wishes(config, codec) if isinstance(codec, ScoreCodec) else _notes_wishes(config, codec),
    )


def style_number(style: str, codec: Codec) -> int:
    """Returns the number of a style, 0 for none.

    Raises:
        UserError: the model was not trained on such a style.
    """
    if not style:
        return 0
    if style not in codec.styles:
        known = ", ".join(name for name in codec.styles if name) or "none: it was prepared without styles"
        raise UserError(f"style {style!r} is not one that the model knows: {known}")
    return codec.styles.index(style)


def _temperatures(config: SampleConfig, codec: Codec) -> list[float]:
    names = [field.name for field in codec.fields]
    wanted = dict.fromkeys(names, config.temperature)
    for name, temperature in config.field_temperature:
        if name != "rhythm" and name not in names:
            raise UserError(f"field {name!r} has no temperature; the {codec.name} codec has {', '.join(names)}")
        for field in RHYTHM if name == "rhythm" and "shift" in names else (name,):
            wanted[field] = temperature
    if "rhythm" in wanted:
        raise UserError(f"the {codec.name} codec has no rhythm of its own: its only field is {', '.join(names)}")
    return list(wanted.values())


def _pitches(config: SampleConfig) -> tuple[Bool[np.ndarray, " 128"], Float[np.ndarray, " 128"]]:
    """Returns which pitches may be played, and the bias of each."""
    low, high = (parse_pitch(text) for text in config.pitch_range)
    if low > high:
        raise UserError(f"pitch_range {config.pitch_range} is empty: its first pitch is above its second")
    pitch = np.arange(128)
    in_range = (pitch >= low) & (pitch <= high)
    in_key = parse_key(config.key)[pitch % 12] if config.key else np.ones(128, bool)
    if config.key_bias:
        return in_range, np.where(in_key, 0, -config.key_bias).astype(np.float32)
    if not (in_range & in_key).any():
        raise UserError(f"no pitch from {config.pitch_range[0]} to {config.pitch_range[1]} is in the key {config.key}")
    return in_range & in_key, np.zeros(128, np.float32)


def _score_wishes(config: SampleConfig, codec: Codec) -> ScoreWishes:
    pitches, pitch_bias = _pitches(config)
    programs = np.full(DRUMS + 1, not config.instruments)
    programs[parse_instruments(config.instruments)] = True
    numerator = denominator = -1
    if config.meter:
        meter = parse_meter(config.meter)
        powers = [1 << power for power in range(NUM_DENOMINATORS)]
        if not 1 <= meter.numerator <= MAX_NUMERATOR or meter.denominator not in powers:
            raise UserError(
                f"meter {config.meter} is not from 1 to {MAX_NUMERATOR} over one of {', '.join(map(str, powers))}"
            )
        numerator, denominator = meter.numerator, powers.index(meter.denominator)
    if config.tempo and not MIN_BPM <= config.tempo <= MAX_BPM:
        raise UserError(f"tempo {config.tempo} is not from {MIN_BPM} to {MAX_BPM} beats per minute")
    return ScoreWishes(
        programs=jnp.asarray(programs),
        pitches=jnp.asarray(pitches),
        pitch_bias=jnp.asarray(pitch_bias),
        style=jnp.int32(style_number(config.style, codec) if config.style else -1),
        numerator=jnp.int32(numerator),
        denominator=jnp.int32(denominator),
        tempo=jnp.int32(config.tempo - MIN_BPM if config.tempo else -1),
        meter_changes=jnp.bool_(not config.meter),
        tempo_changes=jnp.bool_(not config.tempo),
    )


def _notes_wishes(config: SampleConfig, codec: Codec) -> NotesWishes:
    assert isinstance(codec, NotesCodec)
    absent = [
        name for name in ("style", "meter", "tempo", "instruments", "density", "key_bias") if getattr(config, name)
    ]
    if absent:
        raise UserError(
            f"{absent[0]} cannot be asked of the notes codec, whose integers have a pitch, a length and a gap only"
        )
    pitches, _ = _pitches(config)
    events = np.ones(NUM_SPECIAL + len(codec.vocabulary), bool)
    for integer, event in enumerate(codec.vocabulary, NUM_SPECIAL):
        events[integer] = pitches[list(event.pitches)].all()
    gap = np.array([event.gap for event in codec.vocabulary])
    events[UNKNOWN] = False  # as the grammar has it
    if not (events[NUM_SPECIAL:] & (gap > 0)).any():
        raise UserError(
            f"none of the {len(codec.vocabulary)} chords that the model knows has all its notes from "
            f"{config.pitch_range[0]} to {config.pitch_range[1]}" + (f" and in {config.key}" if config.key else "")
        )
    return NotesWishes(jnp.asarray(events))
