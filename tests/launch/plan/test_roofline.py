"""Times of hand-made programs at hand-made speeds, worked out by hand."""

import pytest

from ostinato.launch.plan.hlo_costs import Matmul
from ostinato.launch.plan.program import Loop, Operation, Program
from ostinato.launch.plan.roofline import (
    Hosts,
    Line,
    Speeds,
    Times,
    Torus,
    at_peak_s,
    collective_s,
    line_through,
    loop_times,
    scaling,
    step_times,
)

SPEEDS = Speeds(
    matmul_flops={"f32": 1000.0, "bf16": 4000.0},
    elementwise=100.0,
    transcendentals=10.0,
    memory=50.0,
    cache_bytes=500.0,
    cache=500.0,
    operation_s=0.25,
)
NOTHING = Operation("o", "fusion", "", 1, "", (), 0, 0, 0, 0, 0, 0, 1, 0)
PRODUCT = NOTHING._replace(matmuls=(Matmul("f32", 10, 10, 10),))  # 2000 FLOPs: 2 s


def _program(*operations, loops=None):
    return Program(operations, loops or {}, ())


def test_an_operation_takes_its_arithmetic_or_its_traffic_whichever_is_longer():
    assert step_times(_program(PRODUCT), SPEEDS) == Times(compute=2.0, latency=0.25)
    assert step_times(_program(PRODUCT._replace(whole_bytes=50)), SPEEDS) == Times(compute=2.0, latency=0.25)
    assert step_times(_program(PRODUCT._replace(whole_bytes=150)), SPEEDS) == Times(memory=3.0, latency=0.25)


def test_operations_follow_one_another_as_often_as_they_run():
    times = step_times(_program(PRODUCT._replace(runs=3), NOTHING._replace(sliced_bytes=100)), SPEEDS)
    assert times == Times(compute=6.0, memory=2.0, latency=1.0)
    assert times.total == 9.0
    assert times.bound == "compute"


def test_half_the_bytes_in_bfloat16_means_four_times_the_speed_here():
    half = NOTHING._replace(matmuls=(Matmul("bf16", 10, 10, 10),))
    assert step_times(_program(half), SPEEDS).compute == 0.5
    unknown = NOTHING._replace(matmuls=(Matmul("f64", 10, 10, 10),))
    assert step_times(_program(unknown), SPEEDS).compute == 2.0


def test_a_measured_shape_counts_more_than_its_dtype():
    assert (
        step_times(_program(PRODUCT), SPEEDS._replace(matmul_shapes={Matmul("f32", 10, 10, 10): 500.0})).compute == 4.0
    )


def test_exponentials_are_slower_than_sums():
    assert step_times(_program(NOTHING._replace(elementwise=100, transcendentals=20)), SPEEDS).compute == 3.0


@pytest.mark.parametrize(("resident", "seconds"), [(400, 10 * 0.2), (600, 10 * 2.0)])
def test_a_loop_that_fits_in_the_cache_reads_its_weights_from_there(resident, seconds):
    reads = NOTHING._replace(runs=10, loop="while", whole_bytes=100)
    times = step_times(_program(reads, loops={"while": Loop(10, resident)}), SPEEDS)
    assert times.memory == pytest.approx(seconds)


def test_what_a_loop_walks_through_comes_from_main_memory():
    reads = NOTHING._replace(runs=10, loop="while", sliced_bytes=100)
    assert step_times(_program(reads, loops={"while": Loop(10, 1)}), SPEEDS).memory == pytest.approx(20.0)


def test_a_scan_takes_at_least_its_iterations_times_what_starting_an_operation_costs():
    inside = NOTHING._replace(runs=64, loop="while")
    found = loop_times(_program(inside, inside, PRODUCT, loops={"while": Loop(64, 1)}), SPEEDS)
    assert found.iterations == 64
    assert found.latency_s == found.total_s == 64 * 2 * 0.25


def test_asynchronous_copies_and_scalars_of_a_tpu_start_for_nothing():
    copy = NOTHING._replace(opcode="copy-start", whole_bytes=50)
    assert step_times(_program(copy), SPEEDS) == Times(memory=1.0)
    assert step_times(_program(NOTHING._replace(whole_bytes=4)), SPEEDS._replace(free_bytes=8)).latency == 0.0


def test_no_prediction_is_faster_than_the_peak():
    program = _program(PRODUCT, NOTHING._replace(sliced_bytes=500))
    assert at_peak_s(program, SPEEDS) == 10.0 <= step_times(program, SPEEDS).total


def test_a_ring_sends_both_ways_and_a_line_half_as_much():
    torus = Torus(link=100.0, slices={2: (1, 2), 4: (1, 4), 8: (1, 8), 16: (4, 4)}, wraps=8, hop_s=0.0)
    assert torus.all_reduce_s(800.0, 1) == 0.0
    assert torus.all_reduce_s(800.0, 4) == pytest.approx(2 * 3 / 4 * 800 / 100)
    assert torus.all_reduce_s(800.0, 8) == pytest.approx(2 * 7 / 8 * 800 / 200)
    assert torus.all_reduce_s(800.0, 16) == pytest.approx(2 * 15 / 16 * 800 / 200)  # two lines


def test_between_hosts_each_device_sends_its_share():
    hosts = Hosts(per_host=8, link=100.0, network=10.0, start_s=0.0)
    inside = 2 * 7 / 8 * 800 / 100
    assert hosts.all_reduce_s(800.0, 8) == pytest.approx(inside)
    assert hosts.all_reduce_s(800.0, 32) == pytest.approx(inside + 2 * 3 / 4 * 100 / 10)


def test_collectives_count_as_often_as_they_run():
    reduce = NOTHING._replace(opcode="all-reduce", runs=3, whole_bytes=800, collective_bytes=800, group_size=8)
    gather = reduce._replace(opcode="all-gather", runs=1)
    hosts = Hosts(per_host=8, link=100.0, network=10.0, start_s=0.0)
    assert collective_s(_program(reduce, PRODUCT), hosts, 8) == pytest.approx(3 * 14.0)
    assert collective_s(_program(reduce, gather), hosts, 8) == pytest.approx(3 * 14.0 + 7.0)
    assert step_times(_program(reduce), SPEEDS).total == 0.0  # it is not counted a second time as memory traffic


def test_the_line_has_the_part_that_does_not_shrink_with_the_batch():
    assert line_through([(4, 3.0), (8, 9.0), (12, 7.0)]) == Line(1.0, 0.5)
    assert line_through([(4, 2.5)]) is None


def test_efficiency_by_hand():
    hosts = Hosts(per_host=8, link=100.0, network=10.0, start_s=0.0)
    line = Line(1.0, 0.5)
    one, two, *_, last = scaling(line.at(6), line, lambda n: hosts.all_reduce_s(100.0, n), batch_size=12, largest=16)
    assert (one.weak, one.strong) == (1.0, 1.0)
    assert two.all_reduce_s == 1.0
    assert two.weak == pytest.approx(4.0 / 5.0)
    assert two.strong == pytest.approx(7.0 / (2 * (4.0 + 1.0)))
    assert last.num_devices == 16
    assert last.strong is None
    assert all(found.strong is None for found in scaling(4.0, None, lambda n: 0.0, batch_size=12))
