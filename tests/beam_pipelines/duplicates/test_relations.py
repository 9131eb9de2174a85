"""Pieces are real ones (see `found_piece`) where music matters, and rows of numbers where only the relations do."""

import dataclasses

import numpy as np
import pytest

from ostinato.beam_pipelines.duplicates.fingerprint import TELLING
from ostinato.beam_pipelines.duplicates.near import MIN_COMMON_BANDS
from ostinato.beam_pipelines.duplicates.pieces import open_pieces
from ostinato.beam_pipelines.duplicates.relations import relate
from ostinato.beam_pipelines.duplicates.voices import NUM_BANDS
from ostinato.music.piece import DRUMS, make_piece
from tests.found import Found, found_piece, scan_result_of
from tests.midi_files import tune


def _relate(rows):
    found = scan_result_of(rows)
    order = sorted(range(len(rows)), key=lambda i: (rows[i].num_notes, rows[i].name))
    rank, fixed = np.argsort(order).astype(np.int32), np.full(len(rows), -1, np.int32)
    with open_pieces() as (pieces, _):
        pieces.add(found)
        relations = relate(pieces.prints, rank=rank, num_notes=pieces.num_notes, fixed=fixed)
    names = np.array(found.name)
    best = dict(zip(found.name, names[relations.best].tolist(), strict=True))
    groups = {frozenset(names[relations.group == group].tolist()) for group in np.unique(relations.group)}
    return best, groups


def _pitches(seed, count=240):
    return np.random.default_rng(seed).integers(60, 90, count)


def _voices(*voices):
    """Returns a piece of voices of equal notes, the highest first, each on a program of its own."""
    count = [len(voice) for voice in voices]
    return make_piece(
        onset=np.concatenate([np.arange(n) * 240 for n in count]),
        duration=np.full(sum(count), 240),
        pitch=np.concatenate([np.asarray(voice) - 30 * i for i, voice in enumerate(voices)]),
        velocity=np.full(sum(count), 70),
        program=np.repeat(np.arange(len(voices)), count),
        ticks_per_quarter=480,
    )


def test_pieces_with_nothing_in_common_are_alone():
    rows = [found_piece(str(seed), _voices(_pitches(seed), _pitches(-seed + 99))) for seed in range(20)]
    best, groups = _relate(rows)
    assert best == {row.name: row.name for row in rows}
    assert len(groups) == 20


def test_real_pieces_with_the_same_notes_in_another_key_are_found():
    one, other = tune(1, num_notes=200), tune(2, num_notes=200)
    notes = one.notes
    higher = dataclasses.replace(one, notes=notes._replace(pitch=notes.pitch + 2))
    best, _ = _relate([found_piece("a", one), found_piece("other", other), found_piece("higher", higher)])
    assert best == {"a": "higher", "higher": "higher", "other": "other"}


def test_of_pieces_with_the_same_notes_the_one_of_the_highest_rank_is_best():
    best, groups = _relate([Found("a", 1), Found("b", 1), Found("c", 2), Found("d", 1)])
    assert best == {"a": "d", "b": "d", "c": "c", "d": "d"}
    assert groups == {frozenset("abd"), frozenset("c")}


@pytest.mark.parametrize("changed", [slice(160, 240), slice(0, 80), slice(100, 130)])
def test_another_ending_beginning_or_middle_is_a_repetition(changed):
    one = _pitches(1)
    two = one.copy()
    two[changed] = _pitches(2)[changed]
    best, _ = _relate(
        [found_piece("a", _voices(one)), found_piece("b", _voices(two)), found_piece("c", _voices(_pitches(3)))]
    )
    assert best == {"a": "b", "b": "b", "c": "c"}


def test_the_same_melody_over_another_accompaniment_is_a_repetition():
    melody = _pitches(1)
    rows = [found_piece(name, _voices(melody + key, _pitches(key))) for key, name in enumerate("abc")]
    best, _ = _relate(rows)
    assert best == {"a": "c", "b": "c", "c": "c"}


def test_a_track_alone_repeats_the_piece_and_two_songs_over_it_do_not_repeat_each_other():
    chords = np.tile([60, 64, 67, 61, 62, 66, 71, 75, 60, 68], 6)  # too few different n-grams for bands
    one, two = _voices(_pitches(1, 60), chords), _voices(_pitches(2, 70), chords)
    rows = [found_piece("a", one), found_piece("b", two), found_piece("chords", _voices(chords))]
    assert not len(rows[2].fingerprints().voices)
    best, groups = _relate(rows)
    assert best == {"a": "a", "b": "b", "chords": "b"}
    assert groups == {frozenset(["a", "b", "chords"])}


def test_a_shared_pattern_connects_nothing_but_is_contained():
    pattern = np.tile([60, 72], 30)
    rows = [found_piece("a", _voices(_pitches(1, 60), pattern)), found_piece("b", _voices(_pitches(2, 60), pattern))]
    assert _relate(rows)[1] == {frozenset("a"), frozenset("b")}
    best, groups = _relate([*rows, found_piece("pattern", _voices(pattern))])
    assert best == {"a": "a", "b": "b", "pattern": "b"}
    assert groups == {frozenset("a"), frozenset(["b", "pattern"])}


def test_a_melody_whose_variant_is_contained_leads_to_the_same_best_piece():
    # m1 ~ m2 by bands, m2 (the better one) is a track of "big"
    rows = [
        Found("m1", 1, (11,), ((*range(8), *range(100, 108)),), num_notes=50),
        Found("m2", 2, (21,), (tuple(range(16)),), num_notes=60),
        Found("big", 3, (31, 21), (), num_notes=200),
        Found("bigger", 4, (41, 31), (), num_notes=300),
    ]
    best, groups = _relate(rows)
    assert best == {"m1": "bigger", "m2": "bigger", "big": "bigger", "bigger": "bigger"}
    assert len(groups) == 1


def test_a_piece_is_not_contained_in_one_with_fewer_notes():
    rows = [Found("a", 1, (2,), num_notes=100), Found("b", 2, (4, 2), num_notes=90)]
    best, groups = _relate(rows)
    assert best == {"a": "a", "b": "b"}
    assert len(groups) == 2


@pytest.mark.parametrize(("sharing", "num_groups"), [(100, 1), (101, 101)])
def test_what_too_many_pieces_share_connects_nothing(sharing, num_groups):
    stock = 2 * 10**6 + TELLING
    rows = [Found(f"{i:03d}", i, (2 * i, stock)) for i in range(sharing)]
    # Pieces that repeat one of them do not count.
    rows += [Found(f"again-{i:03d}", 0, (0, stock)) for i in range(50)]
    assert len(_relate(rows)[1]) == num_groups


def test_voices_with_enough_common_bands_are_near_wherever_the_bands_lie():
    rng = np.random.default_rng(0)
    for _ in range(60):
        one, other = rng.integers(0, 2**32, (2, NUM_BANDS))
        common = rng.choice(NUM_BANDS, MIN_COMMON_BANDS, replace=False)
        for count, num_groups in ((MIN_COMMON_BANDS, 1), (MIN_COMMON_BANDS - 1, 2)):
            two = other.copy()
            two[common[:count]] = one[common[:count]]
            rows = [Found("a", 1, (2,), (tuple(one),)), Found("b", 2, (4,), (tuple(other), tuple(two)))]
            assert len(_relate(rows)[1]) == num_groups


def test_near_groups_are_those_of_comparing_every_pair():
    rng = np.random.default_rng(1)
    bands = rng.integers(0, 2**32, (300, 2, NUM_BANDS))
    for _ in range(150):  # copies some bands, often those that were copied before
        (a, b), count = rng.choice(300, 2, replace=False), rng.integers(2, 7)
        places = rng.choice(NUM_BANDS, count, replace=False)
        bands[a, rng.integers(2), places] = bands[b, rng.integers(2), places]
    rows = [Found(f"{i:03d}", i, (2 * i,), tuple(map(tuple, bands[i].tolist()))) for i in range(300)]

    label = np.arange(300)
    for a in range(300):
        for b in range(a):
            if (bands[a][:, None] == bands[b][None]).sum(axis=2).max() >= MIN_COMMON_BANDS:
                label[label == label[a]] = label[b]
    expected = {frozenset(f"{i:03d}" for i in np.flatnonzero(label == value)) for value in set(label.tolist())}
    assert 200 < len(expected) < 295
    assert _relate(rows)[1] == expected


def test_many_copies_of_one_voice_with_small_changes_are_one_group():
    rng = np.random.default_rng(2)
    voice = rng.integers(0, 2**32, NUM_BANDS)
    changed = np.where(rng.random((500, NUM_BANDS)) < 0.4, rng.integers(0, 2**32, (500, NUM_BANDS)), voice)
    rows = [Found(f"{i:03d}", i, (2 * i,), (tuple(row),)) for i, row in enumerate(changed.tolist())]
    assert max(len(group) for group in _relate(rows)[1]) >= 495


def test_relations_do_not_depend_on_the_numbers_of_the_pieces():
    rng = np.random.default_rng(3)
    rows = [
        Found(f"{i:03d}", int(rng.integers(250)), tuple(rng.integers(0, 600, 2).tolist()),
              (tuple(rng.integers(0, 22, NUM_BANDS).tolist()),), int(rng.integers(10, 90)))
        for i in range(200)
    ]  # fmt: skip
    best, groups = _relate(rows)
    assert 1 < len(groups) < 200
    for _ in range(5):
        assert _relate([rows[i] for i in rng.permutation(200)]) == (best, groups)


def _scale(onset):
    count = len(onset)
    return found_piece("".join(map(str, onset[:3])), make_piece(
        onset=onset, duration=np.full(count, 60), pitch=np.tile([60, 62, 64, 65, 67, 69, 71, 72], count // 8),
        velocity=np.full(count, 70), program=np.zeros(count), ticks_per_quarter=480,
    ))  # fmt: skip


def _pattern(name, *, step=120, **drums):
    """Returns a drum pattern of sixteenths (of `step` ticks): d42="x.x." and so on."""
    hits = [(i * step, int(drum[1:])) for drum, line in drums.items() for i, mark in enumerate(line) if mark == "x"]
    onset, pitch = np.array(hits).T
    count = len(hits)
    return found_piece(name, make_piece(
        onset=onset, duration=np.full(count, 60), pitch=pitch, velocity=np.full(count, 70),
        program=np.full(count, DRUMS), ticks_per_quarter=480,
    ))  # fmt: skip


def test_one_scale_in_two_rhythms_is_two_pieces_and_in_two_tempos_one():
    number = np.arange(32)
    even, dotted = _scale(number * 240), _scale(number // 2 * 480 + number % 2 * 360)
    slower = _scale(number * 480)
    best, _ = _relate([even, dotted, slower])
    assert best[dotted.name] == dotted.name
    assert best[even.name] == best[slower.name]


def test_grooves_and_patterns_that_differ_in_time_or_drum_are_different_pieces():
    kick = "x.......x......." * 4
    rows = [
        _pattern("straight", d42="x.x.x.x.x.x.x.x." * 4, d36=kick),
        _pattern("clave", d42="x..x..x...x.x..." * 4, d36=kick),
        _pattern("one hit later", d42="x.x.x.x.x.x.x..x" * 4, d36=kick),
        _pattern("backbeat", d38="....x.......x..." * 4),
        _pattern("on the beat", d38="x.......x......." * 4),
        _pattern("kick", d36=kick),
        _pattern("cowbell", d56=kick),
    ]
    best, _ = _relate(rows)
    assert best == {row.name: row.name for row in rows}


@pytest.mark.parametrize("factor", [2, 3, 0.5], ids=str)
def test_drums_in_another_tempo_are_the_same_wherever_in_the_bar_they_begin(factor):
    lines = ("x...x.x...x.x...", "x..x..x...x.x...", "....x..x....x.x.", "x.xxx.x.x.x.x.xx")
    rests = (0, 2, 7, 11, 16, 22, 29, 40)  # sixteenths
    for rest in rests:
        line = "." * rest + "".join(lines[i % 3] + lines[3 - i % 2] for i in range(8))
        rows = [_pattern("as written", d36=line), _pattern("in another tempo", step=int(120 * factor), d36=line)]
        assert len(set(_relate(rows)[0].values())) == 1
    snare = "...x.......x...." * 4
    rows = [_pattern(f"after {rest}", d38="." * rest + snare) for rest in range(16)]
    assert len(set(_relate(rows)[0].values())) == 16
    a_bar_later = _pattern("a bar later", d38="." * (1 + 16) + snare)
    assert len(set(_relate([rows[1], a_bar_later])[0].values())) == 1


def test_block_chords_and_their_arpeggio_are_different_pieces():
    chord, number = np.tile([0, 4, 7], 40), np.arange(120)
    root = np.repeat(_pitches(1, 40) - 12, 3)

    def play(name, onset):
        return found_piece(name, make_piece(
            onset=onset, duration=np.full(120, 160), pitch=root + chord, velocity=np.full(120, 70),
            program=np.zeros(120), ticks_per_quarter=480,
        ))  # fmt: skip

    best, _ = _relate([play("block", number // 3 * 480), play("arpeggio", number * 160)])
    assert best == {"block": "block", "arpeggio": "arpeggio"}


def _perform(name, pitch, seed):
    """Returns a melody over a bass as a hand plays it: rubato, uneven chords, one note in twelve wrong, ornaments."""
    rng = np.random.default_rng(seed)
    count = len(pitch)
    at = np.cumsum(480 * np.exp(0.2 * np.sin(np.arange(count) / 9 + seed)) * rng.uniform(0.9, 1.1, count))
    wrong = rng.random(count) < 1 / 12
    melody = np.where(wrong, pitch + rng.choice([-2, -1, 1, 2], count), pitch)
    grace = rng.random(count) < 0.03
    onset = np.r_[at, at[::2] + rng.integers(0, 20, len(at[::2])), at[grace] - 90]
    notes = np.r_[melody, pitch[::2] - 24, pitch[grace] + 1]
    return found_piece(name, make_piece(
        onset=onset.astype(int), duration=np.full(len(onset), 200), pitch=notes, velocity=np.full(len(onset), 70),
        program=np.zeros(len(onset)), ticks_per_quarter=480,
    ))  # fmt: skip


def test_performances_of_one_work_share_a_group_and_both_stay():
    works = [_pitches(seed, 300) for seed in range(12)]
    rows = [_perform(f"{work}-{seed}", pitch, seed) for work, pitch in enumerate(works) for seed in (1, 2)]
    best, groups = _relate(rows)
    assert best == {row.name: row.name for row in rows}
    assert groups == {frozenset([f"{work}-1", f"{work}-2"]) for work in range(12)}
