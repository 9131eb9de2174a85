import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import monitoring

from ostinato.configs.schema import SampleConfig
from ostinato.model.network import MusicModel
from ostinato.music.keys import NUM_KEY_VALUES, key_margin
from ostinato.music.piece import DRUMS
from ostinato.music.score_rows import END, METER, REST, START, TEMPO
from ostinato.sample.controls import controls_for, make_controls
from ostinato.sample.generate import CLEAR, clearness, generate
from ostinato.sample.parse import parse_key
from ostinato.sample.primers import Primer
from ostinato.sample.stream import endless_rows
from tests.midi_files import tune
from tests.sample.tiny_models import NOTES, SCORE, assert_legal, leaning, tiny_model, write

C_MAJOR = (0, 2, 4, 5, 7, 9, 11)


@pytest.fixture(scope="module")
def model():
    return tiny_model(SCORE)


def _pieces(pieces):
    return [SCORE.decode(piece.steps) for piece in pieces]


@pytest.mark.slow
def test_no_value_of_any_control_compiles_anything_anew(model):
    compiled = []

    def note(event, duration_s, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(details.get("fun_name", "?"))

    monitoring.register_event_duration_secs_listener(note)
    try:
        write(model, num_pieces=8, num_notes=20)
        compiled.clear()
        for options in (
            {"num_bars": 2, "seed": 4},
            {"num_seconds": 3.5, "temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1},
            {"field_temperature": (("pitch", 0.5), ("rhythm", 1.5)), "density": 20.0, "loop_guard": 0},
            {"style": "wild", "tempo": 90, "meter": "3/8", "key": "E minor", "pitch_range": ("C3", "C5")},
            {"key": "C major", "key_bias": 3.0, "instruments": ("Flute", "drums"), "max_notes": 40},
        ):
            assert_legal(write(model, num_pieces=8, **options))
        assert compiled == []
        two_blocks = SampleConfig(num_pieces=16, num_notes=1)
        generate(*model, SCORE, two_blocks)  # another shape: the counter can count
        assert any("write_chunk" in name for name in compiled)
    finally:
        monitoring.unregister_event_duration_listener(note)


def test_the_header_is_as_asked_for_and_stays(model):
    for piece, generated in zip(
        _pieces(pieces := write(model, num_pieces=8, num_notes=60, style="wild", tempo=72, meter="7/8")),
        pieces,
        strict=True,
    ):
        assert SCORE.styles[generated.steps[1, 2]] == "wild"
        np.testing.assert_allclose(60e6 / piece.tempos.us_per_quarter, [72], rtol=1e-6)
        assert (piece.meters.numerator.tolist(), piece.meters.denominator.tolist()) == ([7], [8])
    assert_legal(pieces)


def test_pitched_notes_stay_in_key_and_range_and_drums_do_not_care(model):
    drumming = leaning(model, output_bias_1={DRUMS: 4.0})
    pieces = write(drumming, num_pieces=8, num_notes=60, key="C major", pitch_range=("C4", "B4"))
    notes = [piece.notes for piece in _pieces(pieces)]
    pitch, program = (np.concatenate([getattr(part, name) for part in notes]) for name in ("pitch", "program"))
    assert set(pitch[program != DRUMS]) == {60 + degree for degree in C_MAJOR}
    drums = pitch[program == DRUMS]
    assert drums.min() < 40
    assert drums.max() > 90
    assert len(set(drums % 12)) == 12
    assert_legal(pieces)


def test_a_lean_to_a_key_is_weaker_than_a_rule_and_stronger_than_nothing(model):
    def share_outside(**options):
        pieces = _pieces(write(model, num_pieces=8, num_notes=100, instruments=("Flute",), **options))
        return np.mean(np.concatenate([~np.isin(piece.notes.pitch % 12, C_MAJOR) for piece in pieces]))

    assert share_outside(key="C major") == 0
    assert 0 < share_outside(key="C major", key_bias=2.0) < share_outside() - 0.15


def test_temperature_0_writes_the_likeliest_piece_whatever_the_seed(model):
    one, *others = write(model, num_pieces=8, num_notes=20, temperature=0.0)
    others += write(model, num_pieces=8, num_notes=20, temperature=0.0, seed=7)
    others += write(model, num_pieces=8, num_notes=20, top_k=1, loop_guard=0)
    assert all(np.array_equal(one.steps, other.steps) for other in others)


def test_temperature_0_may_be_that_of_one_field(model):
    pieces = _pieces(write(model, num_pieces=8, num_notes=60, field_temperature=(("velocity", 0.0),)))
    assert len({tuple(piece.notes.pitch) for piece in pieces}) == 8
    free = _pieces(write(model, num_pieces=8, num_notes=60))
    assert sum(len(set(piece.notes.velocity)) for piece in pieces) < sum(len(set(p.notes.velocity)) for p in free)


def test_only_the_instruments_asked_for_play(model):
    pieces = write(model, num_pieces=8, num_notes=60, instruments=("Violin", "42", "drums"))
    programs = [set(piece.notes.program) for piece in _pieces(pieces)]
    assert set().union(*programs) == {40, 42, DRUMS}
    assert_legal(pieces)


def test_a_single_note_of_a_single_instrument_is_enough(model):
    pieces = write(model, num_pieces=8, num_notes=30, instruments=("Flute",), pitch_range=("60", "60"),
                   tempo=100, meter="4/4")  # fmt: skip
    assert all(set(piece.notes.pitch) == {60} for piece in _pieces(pieces))
    assert_legal(pieces)


@pytest.mark.parametrize("length", [{"num_bars": 3}, {"num_seconds": 6.0}])
@pytest.mark.parametrize("primed", [False, True])
def test_a_piece_is_as_long_as_asked_for_and_no_note_hangs_over(model, length, primed):
    primer = [Primer(SCORE.encode(tune(3))[:20])] if primed else []
    pieces = write(model, primer, num_pieces=8, tempo=120, meter="3/4", **length)
    assert_legal(pieces)
    for generated, piece in zip(pieces, _pieces(pieces), strict=True):
        assert not generated.ended
        end_s = piece.duration_s
        if not primed:
            assert end_s <= 6.0 * (0.75 if "num_bars" in length else 1)  # three bars of 3/4 at 120 are 4.5 s
            assert end_s > 2.0
            continue
        given = SCORE.decode(generated.steps[:20])
        last_onset_s = given.seconds(given.notes.onset[-1])
        if "num_seconds" in length:
            assert end_s <= last_onset_s + 6.0 + 1e-3
        else:  # the primer is in 4/4, as it was given; new bars begin at its next bar line
            bar = -(-int(given.notes.onset[-1]) // 96)
            assert piece.end_tick <= max(96 * (bar + 3), given.end_tick)


def test_bars_follow_the_meters_that_the_model_writes(model):
    restless = leaning(model, output_bias_1={METER: 5.0})
    pieces = write(restless, num_pieces=8, num_bars=4)
    assert_legal(pieces)
    for piece in (piece for piece in _pieces(pieces) if piece.num_notes):
        starts, numerator, denominator = piece.meters
        length = 96 * numerator // denominator
        bars = sum(
            -(-(end - start) // bar)
            for start, end, bar in zip(starts, [*starts[1:], piece.notes.onset[-1] + 1], length, strict=True)
            if end > start
        )
        assert bars <= 4
    assert max(len(piece.meters.tick) for piece in _pieces(pieces)) > 1


def test_density_is_near_what_was_asked_for(model):
    found = []
    for density in (4.0, 16.0):
        pieces = _pieces(write(model, num_pieces=8, num_bars=12, tempo=120, meter="4/4", density=density))
        found.append(np.mean([piece.num_notes / 12 for piece in pieces]))
    assert found == pytest.approx([4.0, 16.0], rel=0.35)


def test_fields_have_temperatures_of_their_own(model):
    cold = write(model, num_pieces=8, num_notes=100, field_temperature=(("pitch", 0.01),), loop_guard=0)
    warm = write(model, num_pieces=8, num_notes=100, field_temperature=(("rhythm", 0.01),), loop_guard=0)

    def variety(pieces, field):
        return np.mean([len(np.unique(piece.steps[piece.steps[:, 1] < START, field])) for piece in pieces])

    assert variety(cold, 2) < 0.7 * variety(warm, 2)
    assert variety(warm, 3) < 0.7 * variety(cold, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "H minor"}, "key 'H minor' is neither"),
        ({"key": "C major", "pitch_range": ("61", "61")}, "no pitch from 61 to 61 is in the key C major"),
        ({"pitch_range": ("C5", "C4")}, "is empty"),
        ({"pitch_range": ("C4", "C99")}, "pitch 'C99' is neither"),
        ({"instruments": ("Fluit",)}, "instrument 'Fluit' is neither"),
        ({"instruments": ("Steel",)}, "did you mean Acoustic Guitar"),
        ({"tempo": 300}, "tempo 300 is not from 16 to 263"),
        ({"meter": "4/5"}, "meter 4/5 is not from 1 to 32 over one of 1, 2, 4, 8, 16, 32"),
        ({"meter": "waltz"}, "not of the form 3/4"),
        ({"style": "brisk"}, "style 'brisk' is not one that the model knows: calm, wild"),
        ({"field_temperature": (("loudness", 1.0),)}, "field 'loudness' has no temperature"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_controls(SampleConfig(**options), SCORE)


def test_the_notes_codec_obeys_key_and_range_and_refuses_what_it_does_not_know():
    model = tiny_model(NOTES)
    pieces = write(model, codec=NOTES, num_pieces=8, num_notes=20, key="C major", pitch_range=("C3", "C6"))
    for piece in pieces:
        pitch = NOTES.decode(piece.steps).notes.pitch
        assert set(pitch % 12) <= set(C_MAJOR)
        assert pitch.min() >= 48
        assert pitch.max() <= 84
    assert_legal(pieces, NOTES)
    with pytest.raises(ValueError, match="tempo cannot be asked of the notes codec"):
        make_controls(SampleConfig(tempo=100), NOTES)
    with pytest.raises(ValueError, match=r"none of the .* chords that the model knows"):
        make_controls(SampleConfig(pitch_range=("0", "1")), NOTES)


_keys = st.sampled_from(["", "C major", "F# minor", "C", "E,G#"])
_programs = st.lists(st.sampled_from(["0", "40", "127", "drums"]), max_size=3, unique=True)


def _in_key(key):
    return {pitch for pitch in range(128) if not key or parse_key(key).pitch_classes[pitch % 12]}


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    temperature=st.floats(0.05, 5.0),
    top=st.tuples(st.sampled_from([0, 1, 7]), st.sampled_from([1.0, 0.3]), st.sampled_from([0.0, 0.2])),
    header=st.tuples(st.sampled_from([0, 16, 263]), st.sampled_from(["", "1/32", "5/4", "32/1"])),
    key=_keys,
    key_bias=st.sampled_from([0.0, 2.0]),
    instruments=_programs,
    low=st.integers(0, 127),
    width=st.integers(0, 127),
    density=st.sampled_from([0.0, 0.5, 60.0]),
    length=st.sampled_from(
        [{}, {"num_notes": 1}, {"num_notes": 60}, {"num_bars": 1}, {"num_bars": 5}, {"num_seconds": 0.1}]
    ),
    wild=st.sampled_from([{}, {REST: 6.0}, {METER: 6.0}, {TEMPO: 6.0}, {END: 6.0}, {40: 9.0}]),
)
def test_whatever_is_asked_for_the_rows_are_legal_and_obey(
    model, seed, temperature, top, header, key, key_bias, instruments, low, width, density, length, wild
):
    options = {
        "seed": seed, "temperature": temperature, "top_k": top[0], "top_p": top[1], "min_p": top[2],
        "tempo": header[0], "meter": header[1], "key": key, "key_bias": key_bias, "instruments": tuple(instruments),
        "pitch_range": (str(low), str(min(low + width, 127))), "density": density, "max_notes": 60, **length,
    }  # fmt: skip
    no_pitch_left = not (set(range(low, min(low + width, 127) + 1)) & _in_key(key))
    if no_pitch_left and not key_bias:
        with pytest.raises(ValueError, match="is in the key"):
            make_controls(SampleConfig(**options), SCORE)
        return
    controls = make_controls(SampleConfig(**options), SCORE)
    pieces = write(leaning(model, output_bias_1=wild), num_pieces=8, **options)
    assert_legal([piece for piece in pieces if SCORE.count_notes(piece.steps).any()])
    for piece in _pieces(pieces):
        pitched = piece.notes.program != DRUMS
        assert controls.limits.programs[piece.notes.program].all()
        assert controls.limits.pitches[piece.notes.pitch[pitched]].all()
        if header[0]:
            assert len(piece.tempos.tick) <= 1
        if header[1]:
            assert len(piece.meters.tick) <= 1


@pytest.fixture(scope="module")
def told():
    """A network that is told keys; where it is told none it is the one that cannot be."""
    network, params = tiny_model(SCORE)
    keys = jax.random.normal(jax.random.key(3), (NUM_KEY_VALUES, network.config.embedding_size)).at[0].set(0)
    told = MusicModel(dataclasses.replace(network.config, key_condition=True), network.field_sizes)
    return told, {**params, "embedding_5": keys}


def test_a_network_that_is_told_a_key_hears_it_and_no_pitch_is_forbidden(model, told):
    def rows(network, **options):
        return [piece.steps.tolist() for piece in write(network, num_pieces=8, num_notes=60, **options)]

    assert rows(told) == rows(model)
    in_d, in_d_again, in_f = (rows(told, key=key) for key in ("D minor", "Dm", "F major"))
    assert in_d == in_d_again
    assert in_d != in_f != rows(told)
    outside = ~parse_key("D minor").pitch_classes
    assert any(outside[row[2] % 12] for piece in in_d for row in piece if row[1] < DRUMS)
    assert rows(told, key="D dorian") == rows(model, key="D dorian")  # a scale, not a key: it is a rule as before
    leaned = rows(told, key="D minor", key_bias=50.0)
    assert not any(outside[row[2] % 12] for piece in leaned for row in piece if row[1] < DRUMS)


def test_a_piece_that_is_not_clearly_in_its_key_is_written_again_and_the_others_stay(told):
    def written(**options):
        config = SampleConfig(num_notes=24, key="D minor", seed=2, batch_size=8, **options)
        pieces = generate(*told, SCORE, config, devices=jax.devices()[:1])
        return pieces, [clearness(SCORE, piece) for piece in pieces]

    once, clear_once = written(num_pieces=8, key_tries=1)
    more, clear = written(num_pieces=8, key_tries=8)
    assert sum(one >= CLEAR for one in clear_once) < sum(one >= CLEAR for one in clear)
    for one, other, before, after in zip(once, more, clear_once, clear, strict=True):
        assert (other.candidate == 0) == np.array_equal(one.steps, other.steps)
        assert other.candidate == 0 if before >= CLEAR else after >= before
    assert clear[0] == key_margin(SCORE.decode(more[0].steps), parse_key("D minor").key)
    fewer, _ = written(num_pieces=5, key_tries=8)
    assert [piece.steps.tolist() for piece in fewer] == [piece.steps.tolist() for piece in more[:5]]
    best, clear = written(num_pieces=4, best_of=2, key_tries=8)
    assert any(piece.candidate > 1 for piece in best)
    assert [piece.key for piece in best] == [parse_key("D minor").key] * 4


def test_each_piece_of_a_stream_is_told_the_key(told):
    """Where nothing is drawn, each is the piece that is written alone."""
    options = {"num_notes": 6, "temperature": 0.0}
    alone, other = (write(told, num_pieces=2, key=key, **options)[0].steps[1:-1].tolist() for key in ("D minor", ""))
    assert alone != other
    rows = next(endless_rows(*told, SCORE, SampleConfig(key="D minor", **options)))
    first, *others = np.split(rows.rows, np.flatnonzero(rows.is_last) + 1)[:-1]
    assert len(others) > 3
    assert first.tolist() == alone
    assert all(piece.tolist() == alone for piece in others)


def test_what_is_asked_of_a_network_depends_on_what_it_can_be_told(model, told):
    """A pitch outside the key is nothing to refuse where the key forbids none."""
    asked = SampleConfig(key="C major", pitch_range=("C#4", "C#4"))
    assert int(controls_for(told[0].config, asked, SCORE).key) == 1
    with pytest.raises(ValueError, match="is in the key"):
        controls_for(model[0].config, asked, SCORE)
