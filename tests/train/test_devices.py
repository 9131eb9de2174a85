"""How a batch is divided over devices and in parts."""

import logging

import jax
import pytest

from ostinato.train.devices import divide_batch, idle_devices, parts_for


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "rows_at_once", "num_devices", "parts"),
    [
        (64, 1, 8, 8, 1),
        (64, 1, 8, 4, 2),
        (64, 1, 8, 1, 8),
        (64, 4, 8, 8, 4),  # as the user wishes
        (64, 1, 8, 3, 4),  # three devices do not divide it: two of them take 8 rows each
        (12, 1, 5, 2, 2),
        (7, 1, 3, 2, 7),
    ],
)
def test_fewer_devices_compute_a_batch_in_more_parts(batch_size, accumulate, rows_at_once, num_devices, parts):
    assert parts_for(batch_size, accumulate, rows_at_once, num_devices=num_devices) == parts


def test_a_batch_that_leaves_devices_idle_is_reported_with_the_sizes_that_use_all(caplog):
    assert jax.device_count() == 4
    with caplog.at_level(logging.WARNING):
        assert divide_batch(8, 2, None)[0].size == 4
        assert not caplog.messages
        assert divide_batch(10, 1, None)[0].size == 2
    assert caplog.messages == [
        "batch_size 10 uses only 2 of 4 devices, the most that divide it; a batch size of 8 or 12 uses all of them"
    ]
    assert "100 uses only 5 of 8" in idle_devices(100, 1, num_used=5, num_devices=8)
    assert idle_devices(100, 1, num_used=5, num_devices=8).endswith("a batch size of 96 or 104 uses all of them")
    assert idle_devices(6, 2, num_used=3, num_devices=4).startswith("batch_size 6 in 2 parts uses only 3 of 4 devices")
    assert idle_devices(6, 2, num_used=3, num_devices=4).endswith("a batch size of 8 uses all of them")
