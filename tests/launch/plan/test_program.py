"""What is read out of compiled modules equals what XLA says, what is counted by hand, and what really runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ostinato.launch.plan import hlo
from ostinato.launch.plan.hlo_costs import Matmul
from ostinato.launch.plan.program import from_json, read_program, to_json


def _compiled(function, *shapes, **options):
    return jax.jit(function, **options).lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)).compile()


def _program(function, *shapes):
    return read_program(_compiled(function, *shapes).as_text())


def _flops(program):
    return sum(operation.runs * operation.matmul_flops for operation in program.operations)


def _mesh():
    return Mesh(np.array(jax.devices()[:4]), ("data",), axis_types=(AxisType.Auto,))


def test_a_matmul_is_counted_once_for_each_pair_of_row_and_column():
    program = _program(lambda x, w: x @ w, (8, 32), (32, 16))
    (matmul,) = [matmul for operation in program.operations for matmul in operation.matmuls]
    assert matmul.flops == 2 * 8 * 32 * 16
    assert matmul.dtype == "f32"
    assert {matmul.rows, matmul.columns} == {8, 16}
    assert matmul.inner == 32


def test_a_batch_of_matmuls_is_counted_as_many_times():
    assert (
        _flops(_program(lambda x, w: jnp.einsum("nij,njk->nik", x, w), (5, 8, 32), (5, 32, 16))) == 5 * 2 * 8 * 32 * 16
    )


def test_what_a_scan_does_counts_for_each_iteration_also_in_a_scan_of_a_scan():
    def outer(x, w):
        def step(x, _):
            return lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, length=7)[0], None

        return lax.scan(step, x, length=11)[0]

    program = _program(outer, (64, 128), (128, 128))
    assert _flops(program) == 77 * 2 * 64 * 128 * 128
    assert sum(op.runs * op.transcendentals for op in program.operations) == 77 * 64 * 128
    assert sorted(loop.trips for loop in program.loops.values()) == [7, 11]
    assert not program.remarks


def test_a_loop_of_unknown_length_counts_once_and_is_told():
    def halve(x, w):
        return lax.while_loop(lambda x: jnp.sum(x) > 1.0, lambda x: x @ w, x)

    program = _program(halve, (64, 128), (128, 128))
    assert _flops(program) == 2 * 64 * 128 * 128
    assert any("unknown number of iterations" in remark for remark in program.remarks)


def test_counting_loops_once_gives_the_numbers_of_xla():
    def loss(x, w):
        def step(h, x):
            h = jnp.tanh(x + h @ w)
            return h, h

        return jnp.sum(lax.scan(step, x[0], x)[1] ** 2)

    compiled = _compiled(jax.grad(loss, argnums=1), (50, 16, 64), (64, 64))
    program = read_program(compiled.as_text())
    xla = compiled.cost_analysis()
    ours = sum(operation.matmul_flops + operation.elementwise for operation in program.operations)
    assert ours == pytest.approx(xla["flops"], rel=0.05)
    assert sum(operation.num_bytes for operation in program.operations) == pytest.approx(
        xla["bytes accessed"], rel=0.15
    )


def test_reading_one_row_of_a_table_is_not_reading_the_table():
    def read(table, start):
        return lax.dynamic_slice(table, (jnp.int32(start[0]), 0), (1, 64)) * 2.0

    program = _program(read, (10_000, 64), (1,))
    assert sum(operation.num_bytes for operation in program.operations) < 10 * 64 * 4


def test_what_a_loop_touches_every_time_is_resident_and_what_it_walks_through_is_not():
    def run(x, w):
        return lax.scan(lambda h, x: (jnp.tanh(x + h @ w), None), x[0], x)[0]

    program = _program(run, (1000, 16, 64), (64, 64))
    (loop,) = program.loops.values()
    assert 64 * 64 * 4 <= loop.resident_bytes < 10 * 64 * 64 * 4


def test_a_sum_over_four_devices_is_one_all_reduce_of_all_gradients():
    mesh = _mesh()
    rows, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    gradient = jax.grad(lambda w, x: jnp.sum(jnp.tanh(x @ w)))
    program = read_program(
        _compiled(gradient, (32, 16), (8, 32), in_shardings=(whole, rows), out_shardings=whole).as_text()
    )
    (found,) = [operation for operation in program.operations if operation.collective_bytes]
    assert found.opcode == "all-reduce"
    assert found.collective_bytes == 32 * 16 * 4
    assert found.group_size == 4
    assert _flops(program) == 2 * 2 * 2 * 32 * 16  # each device has two rows, forward and backward


def test_a_collective_in_a_loop_counts_each_time_and_an_all_gather_by_what_arrives():
    mesh = _mesh()
    rows, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())

    def run(x):
        def local(x):
            return lax.scan(lambda s, _: (s * 0.5 + lax.pmean(s, "data"), None), x, length=9)[0]

        return jax.shard_map(local, mesh=mesh, in_specs=PartitionSpec("data"), out_specs=PartitionSpec("data"))(x)

    reduces = read_program(_compiled(run, (8, 4), in_shardings=rows).as_text())
    assert [(op.runs, op.collective_bytes) for op in reduces.operations if op.collective_bytes] == [(9, 2 * 4 * 4)]
    gathers = read_program(_compiled(lambda x: x + 1.0, (8, 4), in_shardings=rows, out_shardings=whole).as_text())
    assert [(op.opcode, op.collective_bytes) for op in gathers.operations if op.collective_bytes] == [
        ("all-gather", 8 * 4 * 4)
    ]


# What the compilers for TPU and GPU write, and the CPU's does not; shortened.
_TPU = """HloModule jit_step, is_scheduled=true

%body (p.1: (s32[], f32[4,8])) -> (s32[], f32[4,8]) {
  %p.1 = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)S(1)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  %h.1 = f32[4,8]{1,0:T(8,128)S(1)} get-tuple-element(%p.1), index=1
  %one = s32[]{:T(128)} constant(1)
  %next = s32[]{:T(128)} add(%i.1, %one)
  %w.1 = bf16[8,8]{1,0:T(8,128)(2,1)} custom-call(), custom_call_target="AllocateBuffer"
  %convolution.1 = f32[4,8]{1,0:T(8,128)S(1)} convolution(%h.1, %w.1), dim_labels=bf_io->bf, backend_config={"window_config":{"estimated_cycles":"120"}}
  ROOT %t.1 = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)S(1)}) tuple(%next, %convolution.1)
}

%cond (p.2: (s32[], f32[4,8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(512)
  %p.2 = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)S(1)}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%p.2), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.2, %limit), direction=LT
}

ENTRY %main (x: f32[4,8], y: f32[32,16,8]) -> f32[4,8] {
  %zero = s32[]{:T(128)} constant(0)
  %x = f32[4,8]{1,0:T(8,128)} parameter(0)
  %y = f32[32,16,8]{2,1,0:T(8,128)} parameter(1)
  %gradient = f32[8,8,1]{1,0,2:T(8,128)} convolution(%y, %y), window={size=32}, dim_labels=0fb_0io->bf0
  %sum = (f32[8,8]{1,0:T(8,128)}, /*index=1*/f32[4,8]{1,0:T(8,128)}) all-reduce(%gradient, %x), channel_id=1, replica_groups=mesh['axis_0'=1,'axis_1'=16] {'axis_1'}, to_apply=%cond
  %start = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)S(1)}) tuple(%zero, %x)
  %while = (s32[]{:T(128)}, f32[4,8]{1,0:T(8,128)S(1)}) while(%start), condition=%cond, body=%body
  ROOT %out = f32[4,8]{1,0:T(8,128)S(1)} get-tuple-element(%while), index=1
}
"""  # noqa: E501


def test_the_text_of_the_tpu_compiler_is_read():
    program = read_program(_TPU)
    by_name = {operation.name: operation for operation in program.operations}
    product = by_name["convolution.1"]
    assert product.runs == 512
    assert product.matmuls == (Matmul("f32", 4, 8, 8),)
    assert product.cycles == 120
    assert product.fast_bytes == 2 * 4 * 8 * 4
    assert product.num_bytes == 8 * 8 * 2
    assert by_name["gradient"].matmul_flops == 2 * 32 * 16 * 8 * 8
    assert by_name["sum"].collective_bytes == (64 + 32) * 4
    assert by_name["sum"].group_size == 16
    assert program.loops["while"].trips == 512
    assert not program.remarks


def test_a_collective_is_counted_by_the_whole_array_that_it_works_on():
    text = (
        "ENTRY %m (x: f32[4], y: f32[6]) -> f32[16] {\n"
        "  %x = f32[4] parameter(0)\n"
        "  %y = f32[6] parameter(1)\n"
        "  %s = ((f32[4], f32[6]), (f32[2], f32[3])) reduce-scatter-start(%x, %y), replica_groups={{0,1}}\n"
        "  %d = (f32[2], f32[3]) reduce-scatter-done(%s)\n"
        "  %g = ((f32[4], f32[6]), (f32[16], f32[24])) all-gather-start(%x, %y), replica_groups={{0,1,2,3}}\n"
        "  ROOT %e = (f32[16], f32[24]) all-gather-done(%g)\n"
        "}\n"
    )
    scatter, gather = read_program(text).operations
    assert (scatter.opcode, scatter.collective_bytes) == ("reduce-scatter", (4 + 6) * 4)
    assert (gather.opcode, gather.collective_bytes) == ("all-gather", (16 + 24) * 4)


def test_a_reduction_of_which_parts_are_kept_is_a_reduce_scatter():
    text = (
        "%all-reduce-scatter (p: f32[8,4]) -> f32[2,4] {\n"
        "  %p = f32[8,4] parameter(0)\n"
        "  %z = s32[] constant(0)\n"
        "  %r = f32[8,4] all-reduce(%p), replica_groups=[1,4]<=[4], to_apply=%add\n"
        "  ROOT %k = f32[2,4] dynamic-slice(%r, %z, %z), dynamic_slice_sizes={2,4}\n"
        "}\n"
        "ENTRY %m (x: f32[8,4]) -> f32[2,4] {\n"
        "  %x = f32[8,4] parameter(0)\n"
        "  ROOT %f = f32[2,4] fusion(%x), kind=kCustom, calls=%all-reduce-scatter\n"
        "}\n"
    )
    (found,) = read_program(text).operations
    assert (found.opcode, found.collective_bytes, found.group_size) == ("reduce-scatter", 8 * 4 * 4, 4)


def test_groups_of_devices_are_read_in_every_spelling():
    line = "ENTRY %m (x: f32[4]) -> f32[4] {\n  %x = f32[4] parameter(0)\n  ROOT %r = f32[4] all-reduce(%x), HERE\n}\n"
    for spelling in (
        "replica_groups={{0,1,2},{3,4,5}}",
        "replica_groups=[2,3]<=[6]",
        "replica_groups=mesh['a'=3] {'a'}",
    ):
        (found,) = read_program(line.replace("HERE", spelling)).operations
        assert found.group_size == 3, spelling


def test_padding_of_a_convolution_is_not_counted():
    kernel = jnp.ones((3, 1, 1))
    program = _program(
        lambda x: lax.conv_general_dilated(x, kernel, (1,), [(1, 1)], dimension_numbers=("NWC", "WIO", "NWC")),
        (1, 10, 1),
    )
    flops = _flops(program)
    assert flops in (0, 2 * (10 * 3 - 2))  # a compiler may turn so small a one into sums


def test_a_program_survives_json():
    program = _program(
        lambda x, w: lax.scan(lambda h, x: (jnp.tanh(x + h @ w), None), x[0], x)[0], (9, 16, 64), (64, 64)
    )
    assert from_json(to_json(program)) == program


def test_a_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no ENTRY computation"):
        hlo.parse("not a module")
