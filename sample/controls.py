"""What is asked of the sampler, as arrays that the compiled function takes: another value compiles nothing.

Letters: f fields, v values.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ostinato.configs.errors import UserError
from ostinato.configs.schema import ModelConfig, SampleConfig
from ostinato.music.codec import FOREVER, Codec, Request
from ostinato.music.keys import Key, key_of_value, key_value, log_profile
from ostinato.music.piece import DRUMS
from ostinato.sample.choose import SamplingParams
from ostinato.sample.clock import Length
from ostinato.sample.constraints import Constraint, Constraints, Legal, PitchBias
from ostinato.sample.density import Density
from ostinato.sample.form import FormPlan, parse_form
from ostinato.sample.loop_guard import LoopGuard
from ostinato.sample.parse import parse_instruments, parse_key, parse_meter, parse_pitch

RHYTHM = ("shift", "duration")
"""The fields that the name 'rhythm' stands for."""

_TOP_P_BESIDE_COPIES, _STRENGTH_OF_COPIES = 0.9, 0.5
"""Chosen on validation splits of Nottingham and jsfakes among 0.9, 0.95 and 1, and 0 to 1.5 nats (docs/controls.md).

What is drawn has slips that real music has not, and each ends a return: half a nat makes up for them.
"""

_LEAN_TO_KEY = 0.5
"""So much of a key's profile is added where the network is told it: pieces do not slip into the relative one."""

_OF_SOME_CODECS = ("style", "meter", "tempo", "instruments", "density", "key_bias", "form")


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
    ends: Bool[Array, ""]
    """The piece comes to an end in its last bar, or, without a length, before it has all notes."""
    final_chord: Bool[Array, ""]
    """Half of the takes of an end are held on a consonant chord."""
    loop_repeats: Int[Array, ""]
    repeat_strength: Float[Array, ""]
    """Nats that are added to the weights of copies."""
    form: FormPlan | None
    """Which bars return."""
    limits: Any
    """Of the codec's grammar: what rows may hold."""
    density: Float[Array, ""] | None
    """Notes in a bar; 0 leaves them to the model. None where the codec has no time shift of its own."""
    pitch_bias: Float[Array, " 128"] | None
    """Nats that are added to the logits of pitches, but for drums; None where the codec has no pitch of its own."""
    key: Int[Array, ""] | None
    """`key_value` of what the network is told; None for one that is not told keys."""


def make_controls(config: SampleConfig, codec: Codec, *, copy: bool = False, tell_key: bool = False) -> Controls:
    """Returns what a configuration asks for.

    Args:
        config: what a user wants.
        codec: of the model.
        copy: the model has a copy gate, whose default top-p differs.
        tell_key: the model can be told a key, which then is what --key means: all pitches stay.

    Raises:
        UserError: a name is not known, the codec has no such thing, or no note is left that may be written.
    """
    known = codec.grammar.controls
    absent = [name for name in _OF_SOME_CODECS if getattr(config, name) and name not in known]
    if absent:
        raise UserError(f"{absent[0]} cannot be asked of the {codec.name} codec, whose rows do not hold it")
    key = parse_key(config.key).key if config.key and tell_key else None
    pitches, pitch_bias = _pitches(config, default_pitch_range(copy), told=key)
    programs = np.full(DRUMS + 1, not config.instruments)
    programs[parse_instruments(config.instruments)] = True
    request = Request(
        programs=programs,
        pitches=pitches,
        style=style_number(config.style, codec) if config.style else None,
        meter=parse_meter(config.meter) if config.meter else None,
        tempo=round(config.tempo) if config.tempo else None,
    )
    temperatures = _temperatures(config, codec)
    form = parse_form(config.form) if config.form else None
    num_bars = config.num_bars if form is None else int(form.num_bars)
    for_bars_or_seconds = bool(num_bars or config.num_seconds)
    limits = codec.grammar.limits(request)
    if form is not None:  # bars are counted back, so all are equally long
        limits = limits._replace(meter_changes=np.bool_(False))
    return Controls(
        temperature=jnp.array(temperatures, jnp.float32),
        top_k=jnp.int32(config.top_k),
        top_p=jnp.float32(default_top_p(copy) if config.top_p is None else config.top_p),
        min_p=jnp.float32(config.min_p),
        num_notes=jnp.int32(FOREVER if for_bars_or_seconds else config.num_notes or config.max_notes),
        may_end=jnp.bool_(not for_bars_or_seconds and not config.num_notes),
        length=Length(
            bars=jnp.int32(num_bars or FOREVER),
            seconds=jnp.float32(config.num_seconds * _tempo_written(config) or FOREVER),
            steps=jnp.int32(FOREVER),
        ),
        ends=jnp.bool_(comes_to_end(config, copy)),
        final_chord=jnp.bool_(comes_to_end(config, copy) and config.final_chord),
        loop_repeats=jnp.int32(config.loop_guard if any(temperatures) else 0),  # what is not drawn cannot be heated
        repeat_strength=jnp.float32(
            default_repeat_strength(copy) if config.repeat_strength is None else config.repeat_strength
        ),
        form=form,
        limits=jax.tree.map(jnp.asarray, limits),
        density=jnp.float32(config.density) if "density" in known else None,
        pitch_bias=jnp.asarray(pitch_bias) if "key_bias" in known else None,
        key=jnp.int32(key_value(key)) if tell_key else None,
    )


def controls_for(model: ModelConfig, config: SampleConfig, codec: Codec) -> Controls:
    """Returns what a configuration asks of a model, as `make_controls`."""
    return make_controls(config, codec, copy=model.copy, tell_key=model.key_condition)


def tells_key(config: SampleConfig, model: ModelConfig) -> bool:
    """Returns whether a model is told the key that is asked for: it can be, and it is a major or minor one."""
    return bool(config.key) and model.key_condition and parse_key(config.key).key is not None


def default_top_p(copy: bool) -> float:
    """Returns the top-p of a model with a copy gate or without, where none is asked for."""
    return _TOP_P_BESIDE_COPIES if copy else 1.0


def default_pitch_range(copy: bool) -> tuple[str, str]:
    """Returns the lowest and highest pitch of a model with a copy gate or without, where none is asked for.

    Rests and changes of tempo have 0 in the field of the pitch, of which a network gives a little to notes. Models
    without a gate keep what they always wrote.
    """
    return ("1" if copy else "0"), "127"


def comes_to_end(config: SampleConfig, copy: bool) -> bool:
    """Returns whether pieces of so many bars, and those without a length, are to close; by default beside copies."""
    has_other_length = not config.num_bars and bool(config.num_notes or config.num_seconds or config.form)
    return not has_other_length and (copy if config.ending is None else config.ending)


def default_repeat_strength(copy: bool) -> float:
    """Returns the nats that copies weigh more than the gate says, where nothing is asked for."""
    return _STRENGTH_OF_COPIES if copy else 0.0


def make_constraints(controls: Controls, codec: Codec) -> Constraints:
    """Returns the constraints that controls stand for; inside the compiled function."""
    names = [field.name for field in codec.fields]
    constraints: dict[str, Constraint] = {"grammar": Legal(codec.grammar.narrowed(controls.limits))}
    if controls.density is not None:
        constraints["density"] = Density(controls.density, names)
    if controls.pitch_bias is not None:
        constraints["pitch_bias"] = PitchBias(controls.pitch_bias, names)
    constraints["loop_guard"] = LoopGuard(controls.loop_repeats, codec.fields)
    return constraints


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


def _tempo_written(config: SampleConfig) -> float:
    """Returns how much faster the whole beats per minute of the codec are written, if a tempo between is asked for."""
    return config.tempo / round(config.tempo) if config.tempo >= 1 else 1.0


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


def told_key(controls: Controls) -> Key | None:
    """Returns the key that the network is told."""
    return None if controls.key is None else key_of_value(int(controls.key))


def with_key(row: Int[Array, "b f"], controls: Controls) -> Int[Array, "b _"]:
    """Returns rows as the network hears them: with the key, where it is told one."""
    if controls.key is None:
        return row
    return jnp.concatenate([row, jnp.broadcast_to(controls.key, (len(row), 1)).astype(row.dtype)], axis=1)


def _pitches(
    config: SampleConfig, default_range: tuple[str, str], *, told: Key | None
) -> tuple[Bool[np.ndarray, " 128"], Float[np.ndarray, " 128"]]:
    """Returns which pitches may be played, and the bias of each; a key that the network is told forbids none."""
    lowest, highest = config.pitch_range or default_range
    low, high = parse_pitch(lowest), parse_pitch(highest)
    if low > high:
        raise UserError(f"pitch_range {config.pitch_range} is empty: its first pitch is above its second")
    pitch = np.arange(128)
    in_range = (pitch >= low) & (pitch <= high)
    in_key = parse_key(config.key).pitch_classes[pitch % 12] if config.key else np.ones(128, bool)
    if told or config.key_bias:
        lean = _LEAN_TO_KEY * log_profile(told)[pitch % 12] if told else 0
        return in_range, (lean + np.where(in_key, 0, -config.key_bias)).astype(np.float32)
    if not (in_range & in_key).any():
        raise UserError(f"no pitch from {lowest} to {highest} is in the key {config.key}")
    return in_range & in_key, np.zeros(128, np.float32)


def sampling_params(controls: Controls, field: int, width: int) -> SamplingParams:
    """Returns how one field of `width` sequences is drawn."""
    asked = controls.temperature[field], controls.top_k, controls.top_p, controls.min_p
    return SamplingParams(*(jnp.broadcast_to(value, (width,)) for value in (*asked, controls.repeat_strength)))
