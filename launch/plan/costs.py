"""What one device computes and moves in a step, counted from the step's jaxpr: one rule for each kind of primitive.

A jaxpr is not fused, what a compiler makes of it is. What is assumed of the compiler:

- Whatever nobody needs is left out, what follows from literals alone is computed while compiling, and a change of
  shape moves nothing.
- Elementwise equations, sums over axes and gathers are one kernel with those that they feed. A result is written if a
  matmul, a scan, a scatter or the caller reads it, or if it is a sum; else it stays in registers.
- A kernel reads each array once, and of a table that it gathers from only the rows that it takes.
- An iteration of a scan reads and writes its part of the arrays that the scan walks along, in main memory. Weights,
  carry and what is computed on the way are the same memory in every iteration, which may be in a cache.
- Sums over devices that follow one another are sent as one.

A scan counts its body times its length (in `jax.experimental.roofline`, which this resembles, once), a `cond` its
dearest branch. What is outside of `shard_map` counts as if every device had all of it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jax.extend.core import Literal
from jax.interpreters.partial_eval import dce_jaxpr

_VIEWS = {
    "reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "slice", "split", "unstack", "rev", "copy",
    "copy_p", "bitcast_convert_type", "stop_gradient", "sharding_constraint", "pvary",
}  # fmt: skip
_TABLES = {"gather", "dynamic_slice"}
_MOVES = {"concatenate", "stack", "pad", "optimization_barrier", *_TABLES}
_TRANSCENDENTAL = {
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "pow", "sqrt", "rsqrt", "cbrt", "div", "sin", "cos",
    "tan", "erf", "erfc", "erf_inv", "atan2",
}  # fmt: skip
_COLLECTIVES = {
    "psum": "all-reduce", "psum_invariant": "all-reduce", "pmax": "all-reduce", "pmin": "all-reduce",
    "all_gather": "all-gather", "reduce_scatter": "reduce-scatter", "all_to_all": "all-to-all",
}  # fmt: skip
_INNER = {"scan", "while", "cond"}
_OPAQUE = {"conv_general_dilated", "custom_call", "ffi_call", "pallas_call", "pure_callback", "io_callback"}
_UNFUSED = {"dot_general", "scatter", "dynamic_update_slice", *_COLLECTIVES, *_INNER, *_OPAQUE}
_SUMS = ("reduce_", "arg", "cum", "sort")  # how their names begin
_RANDOM_WORK = 120
"""Additions, shifts and the like for 32 random bits: 20 rounds of Threefry and what is around them."""


class Matmul(NamedTuple):
    """A product of [rows, inner] and [inner, columns]; a batch of products counts as more rows."""

    dtype: str
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.columns


@dataclass(eq=False)
class Loop:
    """A scan: `rounds` of the compiled loop in a step, each of `unroll` iterations.

    Every iteration touches `resident_bytes`, weights, carry and intermediates; a cache that is larger keeps them.
    """

    rounds: int = 1
    unroll: int = 1
    resident_bytes: int = 0


class Operation(NamedTuple):
    """What one kernel costs a device each time it runs: `runs` times a step, innermost in `loop`.

    `elementwise` counts additions, products, comparisons and so on, one for each number, `transcendentals` those of
    them that are exponentials, tanh, logarithms, divisions and roots. `sliced_bytes` are read from and written to parts
    of larger arrays, `whole_bytes` arrays as a whole. A collective works on `collective_bytes`, the whole array: before
    a reduce-scatter, after a gather. `group_size` devices take part in it, or share the work (1: each does all of it).
    """

    runs: int = 1
    loop: Loop | None = None
    matmul: Matmul | None = None
    elementwise: int = 0
    transcendentals: int = 0
    sliced_bytes: int = 0
    whole_bytes: int = 0
    collective: str = ""
    collective_bytes: int = 0
    group_size: int = 1

    @property
    def matmul_flops(self) -> int:
        return self.matmul.flops if self.matmul else 0

    @property
    def num_bytes(self) -> int:
        return self.sliced_bytes + self.whole_bytes


@dataclass
class Program:
    """What one device runs in one step, and `remarks` on what could not be counted."""

    operations: list[Operation] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def total(self, amount: str) -> int:
        """Returns the sum over the step of one of the operations' amounts, such as "matmul_flops"."""
        return sum(operation.runs * getattr(operation, amount) for operation in self.operations)


def read_jaxpr(closed: Any) -> Program:
    """Returns what a traced function costs each device."""
    program = Program()
    needed, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    _read(program, needed, 1, None, {})
    return program


@dataclass(eq=False, slots=True)
class _Array:
    """A value of the jaxpr. `walked`: it is one iteration's part of an array that a scan reads or writes."""

    aval: Any
    constant: bool = False
    walked: bool = False
    written: bool = False
    viewed: "_Array | None" = None

    @property
    def root(self) -> "_Array":
        return self.viewed or self

    @property
    def size(self) -> int:
        return math.prod(self.aval.shape)

    @property
    def num_bytes(self) -> int:
        return self.size * self.aval.dtype.itemsize


class _Node(NamedTuple):
    """An equation that costs something."""

    name: str
    params: Mapping[str, Any]
    ins: list[_Array]
    outs: list[_Array]
    mesh: Mapping[str, int]


def _as(aval: Any, array: _Array) -> _Array:
    """Returns the array in a shape."""
    return array if array.aval.shape == aval.shape else _Array(aval, array.constant, viewed=array.root)


def _flatten(jaxpr: Any, arguments: Sequence[_Array], nodes: list[_Node], mesh: Mapping[str, int]) -> list[_Array]:
    """Adds a jaxpr's equations, and those of the functions that it calls, to the nodes; returns its results."""
    known = {var: _Array(var.aval) for var in jaxpr.constvars}
    for var, array in zip(jaxpr.invars, arguments, strict=True):  # shard_map hands over the rows of one device
        known[var] = _as(var.aval, array)

    def find(atom: Any) -> _Array:
        return _Array(atom.aval, constant=True) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        params, outvars, ins = equation.params, equation.outvars, [find(atom) for atom in equation.invars]
        name = "scatter" if equation.primitive.name.startswith("scatter") else equation.primitive.name
        called = None if name in _INNER else params.get("jaxpr", params.get("call_jaxpr"))
        if called is not None:
            inner_mesh = dict(params["mesh"].shape) if "mesh" in params else mesh
            outs = _flatten(getattr(called, "jaxpr", called), ins, nodes, inner_mesh)
            outs = [_as(var.aval, array) for var, array in zip(outvars, outs, strict=True)]
        elif name in _VIEWS:
            outs = [_Array(var.aval, ins[0].constant, viewed=ins[0].root) for var in outvars]
        elif all(array.constant for array in ins) and name not in _INNER:
            outs = [_Array(var.aval, constant=True) for var in outvars]
        else:
            written = name in _UNFUSED or name.startswith((*_SUMS, "random", "optimization_barrier"))
            outs = [_Array(var.aval, written=written) for var in outvars]
            nodes.append(_Node(name, params, ins, outs, mesh))
        known.update(zip(outvars, outs, strict=True))
    return [find(atom) for atom in jaxpr.outvars]


def _read(
    program: Program,
    jaxpr: Any,
    runs: int,
    loop: Loop | None,
    mesh: Mapping[str, int],
    num_walked: int = 0,
    num_carry: int | None = None,
) -> None:
    """Adds the operations of a function or of a loop's body, on a mesh with these axes.

    A scan walks along the last `num_walked` arguments and along the results after the first `num_carry`.
    """
    nodes: list[_Node] = []
    first_walked = len(jaxpr.invars) - num_walked
    arguments = [_Array(var.aval, walked=number >= first_walked) for number, var in enumerate(jaxpr.invars)]
    for number, array in enumerate(_flatten(jaxpr, arguments, nodes, mesh)):
        array.root.written = True
        array.root.walked |= num_carry is not None and number >= num_carry
    for node in nodes:
        for array in node.ins if node.name in _UNFUSED else node.ins[:1] if node.name in _TABLES else []:
            array.root.written = True
    resident: dict[_Array, int] = {}
    for kernel in _kernels(nodes):
        node = kernel[0]
        if node.name in _INNER:
            _read_inner(program, node, runs, loop)
        else:
            program.operations.append(_cost(kernel, resident)._replace(runs=runs, loop=loop))
        if node.name in _OPAQUE:
            program.remarks.append(f"{node.name}: only its bytes are counted")
    if loop:
        loop.resident_bytes = sum(resident.values())


def _scan_counts(params: Mapping[str, Any]) -> tuple[int, int]:
    """Returns how many constants a scan has, and how many arrays it carries; from JAX 0.11 on it tells by trees."""
    if "num_carry" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(list(consts.vals)), len(list(carry.vals))


def _read_inner(program: Program, node: _Node, runs: int, loop: Loop | None) -> None:
    """Adds a scan, a while loop or a choice."""
    params = node.params
    if node.name == "scan":
        length, (num_consts, num_carry) = params["length"], _scan_counts(params)
        unroll = max(1, min(int(params["unroll"]), length))
        num_walked = len(node.ins) - num_consts - num_carry
        inner = Loop(runs * -(-length // unroll), unroll)
        _read(program, params["jaxpr"].jaxpr, runs * length, inner, node.mesh, num_walked, num_carry)
    elif node.name == "while":
        program.remarks.append("a while loop: unknown number of iterations, counted once")
        _read(program, params["body_jaxpr"].jaxpr, runs, Loop(runs), node.mesh)
    else:
        choices = [Program() for _ in params["branches"]]
        for choice, branch in zip(choices, params["branches"], strict=True):
            _read(choice, branch.jaxpr, runs, loop, node.mesh)
        dearest = max(choices, key=lambda choice: choice.total("matmul_flops") + choice.total("num_bytes"))
        program.operations += dearest.operations
        program.remarks += dearest.remarks


def _kernels(nodes: list[_Node]) -> Iterator[list[_Node]]:
    """Yields the nodes that run together."""
    earlier = list(range(len(nodes)))  # of each node, an earlier one of its kernel, or itself

    def find(number: int) -> int:
        while earlier[number] != number:
            number = earlier[number]
        return number

    maker = {array: number for number, node in enumerate(nodes) for array in node.outs if not array.written}
    for number, node in enumerate(nodes):
        if number and node.name in _COLLECTIVES and node.name == nodes[number - 1].name:
            earlier[number] = find(number - 1)
        for root in {array.root for array in node.ins} & maker.keys():
            if root.size > 1 or node.outs[0].size == 1:  # a number that large kernels need is computed before them
                low, high = sorted((find(maker[root]), find(number)))
                earlier[high] = low
    kernels: dict[int, list[_Node]] = {}
    for number, node in enumerate(nodes):
        kernels.setdefault(find(number), []).append(node)
    yield from kernels.values()


def _cost(kernel: list[_Node], resident: dict[_Array, int]) -> Operation:
    """Returns the operation of nodes that run together; what it touches as a whole goes to `resident`."""
    node = kernel[0]
    if node.name in _COLLECTIVES:
        axes = node.params["axes" if "axes" in node.params else "axis_name"]
        group_size = math.prod(node.mesh[axis] for axis in (axes if isinstance(axes, tuple) else (axes,)))
        num_bytes = sum(array.num_bytes for other in kernel for array in other.ins)
        num_bytes *= group_size if node.name == "all_gather" else 1
        return Operation(collective=_COLLECTIVES[node.name], collective_bytes=num_bytes, group_size=group_size)
    devices = math.prod(node.mesh.values())
    if node.name in ("scatter", "dynamic_update_slice"):  # rows are read, changed and written; zeros are new
        update = node.ins[2 if node.name == "scatter" else 1]
        zeros = node.outs[0].num_bytes if node.ins[0].constant else 0
        return Operation(
            elementwise=update.size, sliced_bytes=3 * update.num_bytes, whole_bytes=zeros, group_size=devices
        )
    made = {array for node in kernel for array in node.outs}
    touched: dict[_Array, set[_Array]] = {array: {array} for array in made if array.written}
    elementwise = transcendentals = sliced = 0
    for node in kernel:
        size = (node.ins if node.name.startswith(_SUMS) else node.outs)[0].size
        work = _RANDOM_WORK if node.name.startswith("random") else 1
        elementwise += 0 if node.name in _MOVES or node.name in _UNFUSED else size * work
        transcendentals += size if node.name in _TRANSCENDENTAL else 0
        sliced += node.outs[0].num_bytes if node.name in _TABLES else 0
        for array in node.ins[1 if node.name in _TABLES else 0 :]:
            if array.root not in made and not (array.constant and node.name not in _UNFUSED):
                touched.setdefault(array.root, set()).add(array)
    sizes = {root: min(root.num_bytes, sum(view.num_bytes for view in views)) for root, views in touched.items()}
    whole = {root: num_bytes for root, num_bytes in sizes.items() if not root.walked}
    sliced += sum(sizes.values()) - sum(whole.values())
    resident |= whole
    matmul = _matmul(node) if node.name == "dot_general" else None
    return Operation(1, None, matmul, elementwise, transcendentals, sliced, sum(whole.values()), group_size=devices)


def _matmul(node: _Node) -> Matmul:
    ((contracted, _), (_, batch)) = node.params["dimension_numbers"]
    left, right = (array.aval for array in node.ins)
    inner = math.prod(left.shape[d] for d in contracted)
    columns = math.prod(right.shape) // (inner * math.prod(right.shape[d] for d in batch))
    return Matmul(left.dtype.name, math.prod(left.shape) // inner, inner, columns)
