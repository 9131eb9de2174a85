"""Times of hand-made programs at hand-made speeds, worked out by hand."""

import pytest

from ostinato.launch.plan.costs import Loop, Matmul, Operation, Program
from ostinato.launch.plan.roofline import (
    Hosts,
    Speeds,
    Times,
    Torus,
    at_peak_s,
    collective_s,
    scaling,
    step_times,
)

SPEEDS = Speeds(
    matmul_flops={"float32": 1000.0, "bfloat16": 4000.0},
    elementwise=100.0,
    transcendentals=10.0,
    memory=50.0,
    cache_bytes=500.0,
    cache=500.0,
    operation_s=0.25,
)
PRODUCT = Operation(matmul=Matmul("float32", 10, 10, 10))  # 2000 FLOPs: 2 s
HOSTS = Hosts(per_host=8, link=100.0, network=10.0, start_s=0.0)


def _times(*operations, speeds=SPEEDS, **options):
    return step_times(Program(list(operations)), speeds, **options)


def test_an_operation_takes_its_arithmetic_or_its_traffic_whichever_is_longer():
    assert _times(PRODUCT) == Times(compute=2.0, latency=0.25)
    assert _times(PRODUCT._replace(whole_bytes=50)) == Times(compute=2.0, latency=0.25)
    assert _times(PRODUCT._replace(whole_bytes=150)) == Times(memory=3.0, latency=0.25)


def test_operations_follow_one_another_as_often_as_they_run():
    times = _times(PRODUCT._replace(runs=3), Operation(sliced_bytes=100))
    assert times == Times(compute=6.0, memory=2.0, latency=1.0)
    assert (times.total, times.bound) == (9.0, "compute")


def test_the_speed_of_a_matmul_is_that_of_its_shape_or_its_dtype_or_float32():
    assert _times(Operation(matmul=Matmul("bfloat16", 10, 10, 10))).compute == 0.5
    assert _times(Operation(matmul=Matmul("float64", 10, 10, 10))).compute == 2.0
    assert PRODUCT.matmul is not None
    assert _times(PRODUCT, speeds=SPEEDS._replace(matmul_shapes={PRODUCT.matmul: 500.0})).compute == 4.0


def test_exponentials_are_slower_than_sums():
    assert _times(Operation(elementwise=100, transcendentals=20)).compute == 3.0


@pytest.mark.parametrize(("resident", "seconds"), [(400, 10 * 0.2), (600, 10 * 2.0)])
def test_a_loop_that_fits_in_the_cache_reads_its_weights_from_there(resident, seconds):
    reads = Operation(runs=10, loop=Loop(10, 1, resident), whole_bytes=100)
    assert _times(reads).memory == pytest.approx(seconds)


def test_what_a_loop_walks_through_comes_from_main_memory():
    assert _times(Operation(runs=10, loop=Loop(10, 1, 1), sliced_bytes=100)).memory == pytest.approx(20.0)


def test_a_scan_takes_at_least_its_iterations_times_what_starting_an_operation_costs():
    inside = Operation(runs=64, loop=Loop(64, 1, 1))
    assert _times(inside, inside, PRODUCT, only_loops=True) == Times(latency=64 * 2 * 0.25)


def test_calling_a_step_costs_something_and_scalars_of_a_tpu_start_for_nothing():
    speeds = SPEEDS._replace(step_s=0.5, free_bytes=8)
    assert _times(Operation(whole_bytes=4), speeds=speeds).latency == 0.5
    assert _times(Operation(whole_bytes=8), speeds=speeds).latency == 0.75


def test_no_prediction_is_faster_than_the_peak():
    operations = PRODUCT, Operation(sliced_bytes=500)
    assert at_peak_s(Program(list(operations)), SPEEDS) == 10.0 <= _times(*operations).total


def test_a_ring_sends_both_ways_and_a_line_half_as_much():
    torus = Torus(link=100.0, slices={2: (1, 2), 4: (1, 4), 8: (1, 8), 16: (4, 4)}, wraps=8, hop_s=0.0)
    assert torus.all_reduce_s(800.0, 1) == 0.0
    assert torus.all_reduce_s(800.0, 4) == pytest.approx(2 * 3 / 4 * 800 / 100)
    assert torus.all_reduce_s(800.0, 8) == pytest.approx(2 * 7 / 8 * 800 / 200)
    assert torus.all_reduce_s(800.0, 16) == pytest.approx(2 * 15 / 16 * 800 / 200)  # two lines


def test_between_hosts_each_device_sends_its_share():
    inside = 2 * 7 / 8 * 800 / 100
    assert HOSTS.all_reduce_s(800.0, 8) == pytest.approx(inside)
    assert HOSTS.all_reduce_s(800.0, 32) == pytest.approx(inside + 2 * 3 / 4 * 100 / 10)


def test_collectives_count_as_often_as_they_run():
    reduce = Operation(runs=3, collective="all-reduce", collective_bytes=800, group_size=8)
    gather = reduce._replace(collective="all-gather", runs=1)
    assert collective_s(Program([reduce, PRODUCT]), HOSTS, 8) == pytest.approx(3 * 14.0)
    assert collective_s(Program([reduce, gather]), HOSTS, 8) == pytest.approx(3 * 14.0 + 7.0)
    assert _times(reduce).total == 0.0  # it is not counted a second time as memory traffic


def test_efficiency_by_hand():
    points = [(6, 4.0), (4, 3.0), (5, 99.0)]  # of the smallest and the largest: 1 s and a half for each row
    one, two, *_, last = scaling(points, lambda n: HOSTS.all_reduce_s(100.0, n), batch_size=12, num_devices=(1, 2, 16))
    assert one == {"num_devices": 1, "all_reduce_s": 0.0, "weak": 1.0, "strong": 1.0}
    assert two["all_reduce_s"] == 1.0
    assert two["weak"] == pytest.approx(4.0 / 5.0)
    assert two["strong"] == pytest.approx(7.0 / (2 * (4.0 + 1.0)))
    assert (last["num_devices"], last["strong"]) == (16, None)  # less than a row for each
    alone = scaling([(6, 4.0)], lambda n: 0.0, batch_size=12)
    assert [found["num_devices"] for found in alone] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert all(found["strong"] is None for found in alone)
