import tracemalloc

import numpy as np
import pytest

from ostinato.configs.schema import DataConfig
from ostinato.train.augmentation import draw_changes
from ostinato.train.token_stream import make_stream

DATA = DataConfig(max_transpose=5, max_tempo_change=10, max_velocity_change=64)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000, 70_000])
def test_the_order_and_the_changes_are_those_of_the_first_version(count):
    """Runs that began with it resume with the same batches."""
    lengths = np.random.default_rng(count).integers(1, 300, count).astype(np.int32)
    stream = make_stream(lengths, DATA, seed=(3, 7), tell_keys=True)
    rng = np.random.default_rng([3, 7])
    order = rng.permutation(count)
    offset = int(rng.integers(lengths.sum()))
    columns = [rng.integers(-limit, limit + 1, count) for limit in (5, 10, 64)]
    np.testing.assert_array_equal(stream.pieces, order)
    assert (stream.num_steps, stream.offset) == (lengths.sum(), offset)
    np.testing.assert_array_equal(stream.changes, np.stack([*columns, rng.integers(2, size=count)], axis=1))
    assert not draw_changes(rng, DataConfig(), count).any()


@pytest.mark.parametrize("lengths", [[7], [3, 0, 0, 5], [0, 4, 0], [2] * 64 + [0] * 64 + [9] * 3, [*range(1, 200)]])
def test_parts_are_what_one_meets_step_by_step(lengths):
    stream = make_stream(np.array(lengths, np.int32), DATA, seed=(0, 0), tell_keys=False)
    steps = [(slot, row) for slot, piece in enumerate(stream.pieces.tolist()) for row in range(lengths[piece])]
    total = len(steps)
    assert stream.num_steps == total
    for position in {0, 1, total // 2, total - 1, total + 3}:
        for length in (1, total, 2 * total + 1):
            parts = list(stream.parts(position, length))
            assert all(part.length > 0 for part in parts)
            found = [(part.slot, part.begin + i) for part in parts for i in range(part.length)]
            assert found == [steps[(position + i) % total] for i in range(length)]


def test_an_epoch_takes_eight_bytes_a_piece_and_twice_as_much_while_it_is_made():
    count = 300_000
    lengths = np.full(count, 500, np.int32)
    make_stream(lengths[:1], DATA, seed=(0, 0), tell_keys=True)  # what is imported and made once
    tracemalloc.start()
    try:
        stream = make_stream(lengths, DATA, seed=(0, 0), tell_keys=True)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stream.num_steps == 500 * count
    assert kept <= 8.5 * count
    assert peak <= 16.5 * count
