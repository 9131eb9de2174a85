"""What is counted in a jaxpr equals what is counted by hand, and what XLA says of the compiled program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, Mesh, PartitionSpec

from ostinato.launch.plan.costs import Matmul, read_jaxpr


def _shapes(*shapes):
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


def _program(function, *shapes):
    return read_jaxpr(jax.make_jaxpr(function)(*_shapes(*shapes)))


def _loops(program):
    return {operation.loop for operation in program.operations} - {None}


def _on_four_devices(function):
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",), axis_types=(AxisType.Auto,))
    rows = PartitionSpec("data")
    return jax.shard_map(function, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False)


def _collectives(program):
    return [(op.collective, op.runs, op.collective_bytes, op.group_size) for op in program.operations if op.collective]


def test_a_matmul_is_counted_once_for_each_pair_of_row_and_column_and_a_batch_of_them_as_more_rows():
    (product,) = _program(lambda x, w: x @ w, (8, 32), (32, 16)).operations
    assert product.matmul == Matmul("float32", rows=8, inner=32, columns=16)
    assert product.matmul_flops == 2 * 8 * 32 * 16
    assert product.whole_bytes == 4 * (8 * 32 + 32 * 16 + 8 * 16)
    (product,) = _program(lambda x, w: jnp.einsum("nij,njk->nik", x, w), (5, 8, 32), (5, 32, 16)).operations
    assert product.matmul == Matmul("float32", rows=5 * 8, inner=32, columns=16)


def test_what_a_scan_does_counts_for_each_iteration_also_in_a_scan_of_a_scan():
    def outer(x, w):
        def step(x, _):
            return lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, length=7, unroll=3)[0], None

        return lax.scan(step, x, length=11)[0]

    program = _program(outer, (64, 128), (128, 128))
    assert program.total("matmul_flops") == 77 * 2 * 64 * 128 * 128
    assert program.total("transcendentals") == 77 * 64 * 128
    assert [loop.rounds for loop in _loops(program)] == [11 * 3]  # seven iterations in threes
    assert not program.remarks


def test_a_loop_of_unknown_length_counts_once_and_is_told():
    def halve(x, w):
        return lax.while_loop(lambda x: jnp.sum(x) > 1.0, lambda x: x @ w, x)

    program = _program(halve, (64, 128), (128, 128))
    assert program.total("matmul_flops") == 2 * 64 * 128 * 128
    assert any("unknown number of iterations" in remark for remark in program.remarks)


def test_of_a_choice_the_dearest_branch_counts():
    program = _program(lambda x: lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x + 1, x), (16, 16))
    assert program.total("matmul_flops") == 2 * 16**3
    assert not any(operation.elementwise > 16 for operation in program.operations)


def test_functions_with_gradients_of_their_own_and_recomputed_ones_are_looked_into():
    @jax.custom_vjp
    def double(x):
        return 2 * x

    double.defvjp(lambda x: (double(x), None), lambda _, d: (2 * d,))
    program = _program(lambda x: jax.jit(double)(x @ x) + jax.checkpoint(jnp.tanh)(x), (16, 16))
    assert program.total("matmul_flops") == 2 * 16**3
    assert program.total("transcendentals") == 16**2


def test_counting_loops_once_gives_the_flops_of_xla():
    def loss(x, w):
        def step(h, x):
            h = jnp.tanh(x + h @ w)
            return h, h

        return jnp.sum(lax.scan(step, x[0], x)[1])

    gradient, shapes = jax.value_and_grad(loss, argnums=1), ((50, 16, 64), (64, 64))
    xla = jax.jit(gradient).lower(*_shapes(*shapes)).compile().cost_analysis()
    ours = sum(op.matmul_flops + op.elementwise for op in _program(gradient, *shapes).operations)
    assert ours == pytest.approx(xla["flops"], rel=0.05)


def test_elementwise_equations_are_one_kernel_that_reads_and_writes_once():
    def function(x, y):
        z = jnp.tanh(x + y) * y
        return z - x, jnp.sum(z * z + 1.0)

    (operation,) = _program(function, (100, 10), (100, 10)).operations
    assert operation.whole_bytes == 4 * (3 * 1000 + 1)
    assert operation.elementwise == (3 + 1 + 3) * 1000
    assert operation.transcendentals == 1000


def test_what_a_matmul_reads_is_written_and_a_change_of_shape_is_not():
    program = _program(lambda x, w: jnp.tanh(x).reshape(8, 32) @ w.T, (16, 16), (4, 32))
    tanh, product = program.operations
    assert tanh.whole_bytes == 4 * 2 * 256
    assert product.whole_bytes == 4 * (8 * 32 + 32 * 4 + 8 * 4)


def test_what_follows_from_literals_alone_is_free():
    assert not _program(lambda x: (x, jnp.arange(1000.0) ** 2), (3,)).operations


@pytest.mark.parametrize("start", [lambda i: lax.dynamic_slice(i, (3, 0), (1, 64)), lambda i: i[jnp.array([3])]])
def test_reading_one_row_of_a_table_is_not_reading_the_table(start):
    program = _program(lambda table: start(table) * 2.0, (10_000, 64))
    assert 64 * 4 <= program.total("num_bytes") < 10 * 64 * 4


def test_adding_rows_to_a_table_of_zeros_writes_it_once_and_then_the_rows():
    rows = np.array([2, 2, 7], np.int32)
    program = _program(lambda x: jnp.zeros((1000, 64)).at[rows].add(x), (3, 64))
    (scatter,) = [operation for operation in program.operations if operation.sliced_bytes]
    assert scatter.sliced_bytes == 3 * 3 * 64 * 4
    assert scatter.whole_bytes == 1000 * 64 * 4


def test_what_a_loop_touches_every_time_is_resident_and_what_it_walks_through_is_not():
    def run(x, w):
        def step(h, x):
            h = jnp.tanh(x + h @ w)
            return h, h * 2

        return lax.scan(step, x[0], x)

    program = _program(run, (1000, 16, 64), (64, 64))
    (loop,) = _loops(program)
    assert 64 * 64 * 4 <= loop.resident_bytes < 64 * 64 * 4 + 4 * 16 * 64 * 4
    assert program.total("sliced_bytes") == 2 * 1000 * 16 * 64 * 4


def test_random_bits_cost_what_their_generator_computes():
    program = _program(lambda x: x + jax.random.uniform(jax.random.key(x[0].astype(int)), (1000,)), (1000,))
    assert program.total("elementwise") > 20 * 5 * 1000


def test_sums_over_devices_that_follow_one_another_are_one_all_reduce():
    program = _program(_on_four_devices(lambda x: sum(lax.psum((x, x + 1.0), "data"))), (8, 4))
    assert _collectives(program) == [("all-reduce", 1, 2 * 2 * 4 * 4, 4)]


def test_a_collective_in_a_loop_counts_each_time_and_an_all_gather_by_what_arrives():
    def function(x):
        x = lax.scan(lambda s, _: (s * 0.5 + lax.pmean(s, "data"), None), x, length=9)[0]
        return x + jnp.sum(lax.all_gather(x, "data"))

    program = _program(_on_four_devices(function), (8, 4))
    assert _collectives(program) == [("all-reduce", 9, 2 * 4 * 4, 4), ("all-gather", 1, 8 * 4 * 4, 4)]


def test_a_device_computes_its_rows_and_what_is_outside_of_the_map_as_a_whole():
    mapped = _on_four_devices(lambda x: x @ x.T)
    inside, outside = _program(lambda x, w: mapped(x) @ w, (8, 4), (2, 3)).operations
    assert (inside.matmul, inside.group_size) == (Matmul("float32", rows=2, inner=4, columns=2), 4)
    assert (outside.matmul, outside.group_size) == (Matmul("float32", rows=8, inner=2, columns=3), 1)


def test_what_has_no_rule_is_told():
    def function(x):
        return lax.conv_general_dilated(x, jnp.ones((3, 1, 1)), (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))

    assert _program(function, (1, 10, 1)).remarks == ["conv_general_dilated: only its bytes are counted"]
