import hashlib
import itertools
from collections import Counter
from contextlib import closing

import jax
import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.schema import DataConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, DatasetError, Record
from ostinato.music.notes_codec import END, START
from ostinato.music.piece import DRUMS, make_piece
from ostinato.music.score_codec import ScoreCodec
from ostinato.music.score_rows import END as END_ROW
from ostinato.music.score_rows import START as START_ROW
from ostinato.music.score_rows import TEMPO
from ostinato.train import data
from ostinato.train.batch import Batch
from ostinato.train.data import evaluation_batches, prefetch, training_batches
from tests.train.conftest import TRAIN_LENGTHS, VALIDATION_LENGTHS, make_dataset

ORDERS = pytest.mark.parametrize("order", ["streams", "windows"])
B, T = 4, 8
L = sum(TRAIN_LENGTHS)


def batches_of(dataset, order="streams", *, seed=0, rows=slice(None), copy=False, **changes):
    config = DataConfig(**{"order": order, "batch_size": B, "sequence_length": T, **changes})
    return training_batches(dataset.source("train"), config, seed=seed, rows=rows, copy=copy)


def assert_equal(ours: Batch, theirs: Batch) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def joined(parts):
    """Returns the batch whose rows are those of the parts."""
    return jax.tree.map(lambda *columns: np.concatenate(columns), *parts)


@ORDERS
def test_a_batch_has_the_stated_shapes_and_dtypes(dataset, order):
    found = [(x.shape, x.dtype.name) for x in jax.tree.leaves(batches_of(dataset, order)[0])]
    assert found == [((B, T, 1), "int32"), ((B, T, 1), "int32"), ((B, T), "bool"), ((B, T), "float32")]


@ORDERS
def test_batch_k_is_the_same_however_it_is_read(dataset, order, monkeypatch):
    """Directly, in sequence, ahead of time, in halves by two hosts, and with a cache that holds next to nothing."""
    in_sequence = [batches_of(dataset, order)[k] for k in range(20)]
    assert_equal(batches_of(dataset, order)[17], in_sequence[17])
    with closing(prefetch(batches_of(dataset, order), first_step=6)) as stream:
        for batch, expected in zip(itertools.islice(stream, 14), in_sequence[6:], strict=True):
            assert_equal(batch, expected)
    halves = [batches_of(dataset, order, rows=rows) for rows in (slice(0, 2), slice(2, 4))]
    monkeypatch.setattr(data, "CACHE_BYTES", 1)
    small = batches_of(dataset, order)
    for k, expected in enumerate(in_sequence):
        assert_equal(joined([half[k] for half in halves]), expected)
        assert_equal(small[k], expected)


@ORDERS
def test_another_seed_and_another_epoch_have_another_order(dataset, order):
    batches = batches_of(dataset, order)
    others = batches_of(dataset, order, seed=1)[0], batches[batches.steps_per_epoch]
    assert not any(np.array_equal(batches[0].inputs, other.inputs) for other in others)


@pytest.mark.parametrize("lengths", [TRAIN_LENGTHS, (270,), (100, 90, 80), (2,) * 135])
@pytest.mark.parametrize("epoch", [0, 3])
def test_streams_visit_each_step_once_an_epoch_except_less_than_a_batch(tmp_path, lengths, epoch):
    batches = batches_of(make_dataset(tmp_path / "set", lengths))
    steps = batches.steps_per_epoch
    assert steps == 270 // (B * T)
    seen = Counter(
        np.concatenate([batches[k].inputs.ravel() for k in range(epoch * steps, (epoch + 1) * steps)]).tolist()
    )
    assert all(count == 1 for value, count in seen.items() if value not in (START, END))
    assert seen[START] <= len(lengths)
    assert sum(seen.values()) == steps * B * T > 270 - B * T


def test_what_one_epoch_leaves_out_others_visit(tmp_path):
    batches = batches_of(make_dataset(tmp_path / "set", (60,)))  # one piece, 32 of 60 steps an epoch
    seen = {value for k in range(20) for value in batches[k].inputs.ravel().tolist()}
    assert len(seen) == 60


def test_rows_of_streams_continue_where_the_batch_before_ended(dataset):
    batches = batches_of(dataset)
    steps = batches.steps_per_epoch
    for k in range(steps, 2 * steps - 1):
        np.testing.assert_array_equal(batches[k].targets[:, -1], batches[k + 1].inputs[:, 0])
        np.testing.assert_array_equal(batches[k].targets[:, :-1], batches[k].inputs[:, 1:])


def test_streams_reset_at_the_first_row_of_a_piece_and_do_not_score_it(dataset):
    batches = batches_of(dataset)
    for k in range(3 * batches.steps_per_epoch):
        batch = batches[k]
        anew = np.zeros((B, T), bool)
        anew[:, 0] = k % batches.steps_per_epoch == 0
        np.testing.assert_array_equal(batch.starts, (batch.inputs[..., 0] == START) | anew)
        np.testing.assert_array_equal(batch.weights == 0, batch.targets[..., 0] == START)
        assert set(np.unique(batch.weights)) <= {0.0, 1.0}


def test_a_corpus_smaller_than_a_batch_still_fills_it(tmp_path):
    batch = batches_of(make_dataset(tmp_path / "set", (5,)))[0]
    assert batch.inputs.shape == (B, T, 1)
    assert {tuple(pair) for pair in np.c_[batch.inputs.ravel(), batch.targets.ravel()].tolist()} <= {
        (START, 3), (3, 4), (4, 5), (5, END), (END, START)
    }  # fmt: skip


def test_windows_are_excerpts_of_one_piece_and_short_pieces_are_padded(dataset):
    pieces = [dataset.source("train")[i].steps[:, 0].tolist() for i in range(len(TRAIN_LENGTHS))]
    excerpts = {tuple(piece[i : i + T + 1]) for piece in pieces for i in range(max(1, len(piece) - T))}
    batches = batches_of(dataset, "windows")
    seen = set()
    for k in range(150):
        batch = batches[k]
        np.testing.assert_array_equal(batch.starts, np.arange(T)[None] * np.ones((B, 1)) == 0)
        for inputs, targets, weights in zip(batch.inputs, batch.targets, batch.weights, strict=True):
            num_real = int(weights.sum())
            np.testing.assert_array_equal(weights, np.arange(T) < num_real)
            assert set(targets[num_real:, 0].tolist()) <= {END}
            seen.add((int(inputs[0, 0]), *targets[:num_real, 0].tolist()))
    assert seen <= excerpts
    assert len(seen) > 0.85 * len(excerpts)  # 600 draws of 214: all but 1 in 16 on average


@pytest.mark.parametrize(("batch_size", "sequence_length"), [(4, 8), (1, 8), (8, 64), (2, 1)])
def test_evaluation_reads_every_step_of_every_piece_once(dataset, batch_size, sequence_length):
    source = dataset.source("validation")
    pairs = Counter()
    for batch in evaluation_batches(source, batch_size, sequence_length):
        assert batch.inputs.shape == (batch_size, sequence_length, 1)
        real = batch.weights == 1
        pairs.update(map(tuple, np.c_[batch.inputs[real], batch.targets[real]].tolist()))
    expected = Counter()
    for record in map(source.__getitem__, range(len(source))):
        expected.update(map(tuple, np.c_[record.steps[:-1], record.steps[1:]].tolist()))
    assert pairs == expected
    assert sum(pairs.values()) == sum(VALIDATION_LENGTHS) - len(VALIDATION_LENGTHS)


def test_evaluation_keeps_the_memory_within_a_group_of_pieces(dataset):
    batches = list(evaluation_batches(dataset.source("validation"), 2, T))
    starts = [bool(batch.starts[:, 0].all()) for batch in batches]
    assert starts == [True, True, False, False, True, False, False, False]  # (3, 7), (12, 21), (30)
    assert not any(batch.starts[:, 1:].any() for batch in batches)
    assert all(batch.starts[:, 0].any() == batch.starts[:, 0].all() for batch in batches)


def test_two_hosts_evaluate_the_halves_of_what_one_does(dataset):
    source = dataset.source("validation")
    whole = list(evaluation_batches(source, B, T))
    halves = [list(evaluation_batches(source, B, T, rows=rows)) for rows in (slice(0, 2), slice(2, 4))]
    for *parts, expected in zip(*halves, whole, strict=True):
        assert_equal(joined(parts), expected)


@pytest.fixture(scope="module")
def score_dataset(tmp_path_factory):
    codec = ScoreCodec()
    rng = np.random.default_rng(0)
    pieces = [
        make_piece(
            onset=np.arange(30) * 12,
            duration=np.full(30, 12),
            pitch=rng.integers(40, 90, 30),
            velocity=np.full(30, 80),
            program=np.zeros(30),
            ticks_per_quarter=24,
        )
        for _ in range(3)
    ]
    folder = tmp_path_factory.mktemp("data") / "score"
    write_dataset(folder, {"train": [Record(str(i), "", codec.encode(p)) for i, p in enumerate(pieces)]}, codec)
    return Dataset.open(folder)


@ORDERS
@pytest.mark.parametrize(
    ("option", "limit", "field"),
    [("max_transpose", 2, "pitch"), ("max_tempo_change", 20, "duration"), ("max_velocity_change", 10, "velocity")],
)
def test_pitch_tempo_and_velocity_change_by_at_most_the_stated_amount(score_dataset, order, option, limit, field):
    column = [each.name for each in score_dataset.codec.fields].index(field)
    plain, moved = batches_of(score_dataset, order), batches_of(score_dataset, order, **{option: limit})
    found = Counter()
    for k in range(80):
        before, after = plain[k], moved[k]
        np.testing.assert_array_equal(before.starts, after.starts)
        np.testing.assert_array_equal(before.weights, after.weights)
        difference, instrument = after.inputs - before.inputs, before.inputs[..., 1]
        is_changed = instrument == TEMPO if field == "duration" else instrument < DRUMS
        assert not np.delete(difference, column, axis=2).any()
        assert not difference[~is_changed].any()
        found.update(difference[is_changed][:, column].tolist())
    if field == "duration":  # 120 beats per minute, so 20 per cent are 24
        assert -24 <= min(found) < -18 < 18 < max(found) <= 24
        assert len(found) > 15
    else:  # velocities are in bins of four around their middle: 10 up is 2.5 bins, rounded up
        assert set(found) == ({-2, -1, 0, 1, 2} if field == "pitch" else {-2, -1, 0, 1, 2, 3})


@ORDERS
def test_a_change_is_drawn_for_each_piece_and_epoch_and_is_the_same_for_the_same_seed(score_dataset, order):
    changes = {"max_transpose": 3, "max_tempo_change": 50, "max_velocity_change": 64}
    batches = batches_of(score_dataset, order, **changes)
    tempos = [
        tuple(inputs[inputs[:, 1] == TEMPO, 3].tolist())
        for k in range(6 * batches.steps_per_epoch)
        for inputs in batches[k].inputs
        if (inputs[:, 1] == TEMPO).any()
    ]
    assert len(set(tempos)) > 3
    again = batches_of(score_dataset, order, **changes)
    for k in (7, 0, 13):
        assert_equal(again[k], batches[k])
    whole, half = batches[3], batches_of(score_dataset, order, rows=slice(2, 4), **changes)[3]
    np.testing.assert_array_equal(whole.inputs[2:], half.inputs)


@ORDERS
def test_options_that_came_later_do_not_move_the_draws_of_those_before_them(score_dataset, order):
    """So that a run begun before there was an option resumes with the same batches."""
    before = batches_of(score_dataset, order, max_transpose=5)
    after = batches_of(score_dataset, order, max_transpose=5, max_tempo_change=30, max_velocity_change=30)
    for k in range(20):
        np.testing.assert_array_equal(before[k].inputs[..., :3], after[k].inputs[..., :3])
        np.testing.assert_array_equal(before[k].starts, after[k].starts)


@pytest.mark.parametrize(
    ("order", "max_transpose", "digest"),
    [
        ("streams", 0, "5a493218ae99b666"),
        ("streams", 5, "a405b625bc7ee7a5"),
        ("windows", 0, "87b00826f14248b8"),
        ("windows", 5, "3cd455dbe3c6b6ec"),
    ],
)
def test_batches_are_those_of_the_first_version(score_dataset, order, max_transpose, digest):
    """The digests were taken before tempo and velocity changes were added: with another, old runs cannot be resumed."""
    batches = batches_of(score_dataset, order, seed=3, max_transpose=max_transpose)
    found = hashlib.sha256()
    for k in range(20):
        for values in jax.tree.leaves(batches[k]):
            found.update(np.ascontiguousarray(values).tobytes())
    assert found.hexdigest()[:16] == digest


def test_evaluation_never_changes_a_piece(score_dataset):
    source = score_dataset.source("train")
    pieces = [source[i].steps.tolist() for i in range(len(source))]
    (batch,) = evaluation_batches(source, len(source), max(source.lengths))
    read = [
        inputs[: int(weights.sum()) + 1].tolist() for inputs, weights in zip(batch.inputs, batch.weights, strict=True)
    ]
    assert sorted(read) == sorted(pieces)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("max_transpose", "cannot transpose"),
        ("max_tempo_change", "cannot change the tempo"),
        ("max_velocity_change", "cannot change the velocity"),
    ],
)
def test_a_codec_that_cannot_change_a_piece_is_refused_at_once(dataset, option, message):
    with pytest.raises(ValueError, match=message):
        batches_of(dataset, **{option: 2})


def test_a_damaged_record_stops_the_stream_with_its_name(tmp_path):
    shard = next(make_dataset(tmp_path / "set", (20, 20)).path.glob("*train.tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with (
        closing(prefetch(batches_of(Dataset.open(tmp_path / "set")), first_step=0)) as stream,
        pytest.raises(DatasetError, match=shard.name),
    ):
        list(itertools.islice(stream, 4))


@pytest.mark.parametrize("order", ["streams", "windows"])
def test_the_pieces_of_a_batch_are_those_whose_rows_are_in_it(dataset, order):
    """Each row of a piece has a number that no other has, so it tells its piece."""
    batches = batches_of(dataset, order)
    source = dataset.source("train")
    of_row = {int(row): i for i in range(len(source)) for row in source[i].steps[1:-1, 0]}
    for k in (0, 3, batches.steps_per_epoch, 5 * batches.steps_per_epoch + 2):
        batch = batches[k]
        seen = {of_row[row] for row in np.r_[batch.inputs.ravel(), batch.targets.ravel()].tolist() if row in of_row}
        assert seen <= set(batches.pieces(k))
        assert len(batches.pieces(k)) == len(set(batches.pieces(k)))


@ORDERS
def test_the_network_hears_wrong_notes_but_predicts_the_right_ones(score_dataset, order):
    plain, noisy = (batches_of(score_dataset, order, seed=3, misheard=rate, copy=True)[1] for rate in (0.0, 0.3))
    np.testing.assert_array_equal(plain.targets, noisy.targets)
    differs = plain.inputs != noisy.inputs
    assert 0.15 < differs[..., 2].mean() < 0.35
    assert not differs[..., [0, 1, 3, 4]].any()
    np.testing.assert_array_equal(plain.alignment.candidates, noisy.alignment.candidates)
    again = batches_of(score_dataset, order, seed=3, misheard=0.3, copy=True)[1]
    jax.tree.map(np.testing.assert_array_equal, again, noisy)


def test_the_alignment_of_a_chunk_is_that_of_the_whole_piece(score_dataset):
    source = score_dataset.source("train")
    batch = batches_of(score_dataset, "windows", seed=3, copy=True)[0]
    whole = {source[i].steps.tobytes(): source.codec.align(source[i].steps) for i in range(len(source))}
    found = 0
    for i in range(len(source)):
        steps = source[i].steps.astype(np.int32)
        for row, length in enumerate(batch.weights.sum(1).astype(int)):
            for begin in range(len(steps) - length):
                if (steps[begin : begin + length] == batch.inputs[row, :length]).all():
                    part = jax.tree.map(lambda x: x[begin : begin + length], whole[source[i].steps.tobytes()])  # noqa: B023
                    seen = jax.tree.map(lambda x: x[row, :length], batch.alignment)  # noqa: B023
                    jax.tree.map(np.testing.assert_array_equal, part, seen)
                    found += 1
    assert found >= len(batch.inputs)


def test_a_codec_without_bars_cannot_be_copied_from(dataset):
    with pytest.raises(UserError, match=r"notes codec has no bars.*--model.no-copy"):
        batches_of(dataset, "streams", copy=True)


@ORDERS
def test_the_first_row_says_by_how_much_a_piece_was_transposed(score_dataset, order):
    """What was moved by so much is another piece of the collection moved by nothing, so only the mark tells."""
    options = {"seed": 3, "max_transpose": 5, "sequence_length": 64}
    plain, marked = (
        [batches_of(score_dataset, order, mark_transposed=mark, **options)[k] for k in range(8)]
        for mark in (False, True)
    )
    source = score_dataset.source("train")
    as_they_are = {steps[1:].tobytes() for steps in (source[i].steps.astype(np.int32)[:20] for i in range(len(source)))}
    marks = Counter()
    for one, other in zip(plain, marked, strict=True):
        is_start = one.inputs[..., 1] == ScoreCodec.specials.start
        np.testing.assert_array_equal(one.inputs[~is_start], other.inputs[~is_start])
        for row, t in np.argwhere(is_start & other.starts):
            mark, rest = int(other.inputs[row, t, 2]), other.inputs[row, t + 1 : t + 20]
            assert mark in {*range(6), *range(123, 128)}
            if len(rest) == 19 and (rest[:, 1] != ScoreCodec.specials.start).all():
                assert (rest.tobytes() in as_they_are) == (mark == 0)
                marks[mark] += 1
    assert len(marks) > 2


@ORDERS
def test_half_of_the_pieces_tell_the_key_that_they_are_then_in_and_the_others_how_far_they_were_moved(tmp_path, order):
    """What is heard beside it and predicted is that of a network that is told nothing."""
    codec = ScoreCodec()
    tunes = [
        make_piece(
            onset=range(0, 24 * 60, 24), duration=[24] * 60, pitch=np.tile([60, 64, 67, 60, 65, 67], 10) + tonic,
            velocity=[80] * 60, program=[0] * 60, ticks_per_quarter=24,
        )
        for tonic in (0, 2, 7)
    ]  # fmt: skip
    records = [Record(str(i), f"{i}.mid", codec.encode(one)) for i, one in enumerate(tunes)]
    write_dataset(tmp_path / "set", {"train": records}, codec)
    source = Dataset.open(tmp_path / "set").source("train")
    config = DataConfig(order=order, batch_size=2, sequence_length=32, max_transpose=5, mark_transposed=True)
    plain, telling = (training_batches(source, config, seed=0, tell_keys=tell) for tell in (False, True))
    told, moved = Counter(), Counter()
    for k in range(120):
        batch, other = telling[k], plain[k]
        heard, key = batch.inputs[..., :5], batch.inputs[..., 5]
        is_start = heard[..., 1] == codec.start[1]
        if order == "streams":  # windows draw all their places and changes from one generator
            scored = batch.weights > 0  # START is not predicted
            np.testing.assert_array_equal(batch.targets[scored], other.targets[scored])
            np.testing.assert_array_equal(heard[~is_start], other.inputs[~is_start])
        for row, keys in zip(heard, key, strict=True):
            begin = np.flatnonzero(row[:, 1] == codec.start[1])
            for first, end in itertools.pairwise([0, *begin, 32]):
                piece = row[first:end]
                notes, values = piece[piece[:, 1] < START_ROW], set(keys[first:end][piece[:, 1] != END_ROW].tolist())
                if len(notes) < 6 or len(values) > 1:
                    continue
                value = values.pop()
                tonic = notes[:, 2].min() % 12 if set(notes[:, 2] - notes[:, 2].min()) == {0, 4, 5, 7} else None
                assert tonic is not None
                assert value in (0, 1 + tonic)
                told[value] += 1
            for at in begin:
                assert not (keys[at] and row[at, 2])
                if not keys[at]:
                    moved[int(row[at, 2])] += 1
    assert 0.3 < told[0] / told.total() < 0.7
    assert len(told) > 8
    assert order == "windows" or len(moved) > 5


def test_a_codec_without_keys_says_so(dataset):
    with pytest.raises(UserError, match="no keys to tell; set --model"):
        training_batches(dataset.source("train"), DataConfig(), seed=0, tell_keys=True)
