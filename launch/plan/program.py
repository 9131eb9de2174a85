"""What a device runs in one step: the operations of a compiled module, how often each, and what each costs.

XLA's own `cost_analysis()` counts the body of a loop once and is not there for every backend. Here each operation
carries the number of times that it runs.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ostinato.launch.plan.hlo import Computation, Instruction, Module, branches, called, parse, trip_count
from ostinato.launch.plan.hlo_costs import Matmul, arithmetic_of, is_free, resident_bytes, traffic_of

COLLECTIVES = frozenset({"all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"})

_NO_KERNEL = frozenset({"MoveToHost", "MoveToDevice", "Sharding", "AllocateBuffer", "ConcatBitcast", "SliceBitcast"})


class Operation(NamedTuple):
    """What one kernel costs a device each time it runs."""

    name: str
    opcode: str
    label: str
    """Where in the network it comes from."""
    runs: int
    """Times per step."""
    loop: str
    """The innermost loop that it is in; "" outside."""
    matmuls: tuple[Matmul, ...]
    elementwise: int
    """Additions, products, comparisons and so on, one for each number."""
    transcendentals: int
    """Of these: exponentials, tanh, logarithms, divisions and roots."""
    sliced_bytes: int
    """Read from and written to parts of larger arrays."""
    whole_bytes: int
    """Read from and written to arrays as a whole."""
    fast_bytes: int
    """Moved in fast memory instead."""
    collective_bytes: int
    """What a collective operation works on: the bytes of the whole array, before a reduce-scatter, after a gather."""
    group_size: int
    """Devices that take part in it."""
    cycles: int
    """The compiler's own estimate; 0 where it gives none."""

    @property
    def matmul_flops(self) -> int:
        return sum(matmul.flops for matmul in self.matmuls)

    @property
    def num_bytes(self) -> int:
        return self.sliced_bytes + self.whole_bytes


class Loop(NamedTuple):
    """A while loop, such as the scan over time."""

    trips: int
    """Iterations each time it is entered."""
    resident_bytes: int
    """Weights, state and intermediates that every iteration touches as a whole; they stay in a cache that is larger."""


class Program(NamedTuple):
    """What one device runs in one step."""

    operations: tuple[Operation, ...]
    loops: dict[str, Loop]
    remarks: tuple[str, ...]
    """What could not be counted."""


def read_program(text: str) -> Program:
    """Returns the operations of the text of `compiled.as_text()`."""
    module = parse(text)
    loops: dict[str, Loop] = {}
    remarks: list[str] = []
    operations = tuple(_walk(module, module.entry, 1, "", loops, remarks))
    return Program(operations, loops, tuple(dict.fromkeys(remarks)))


def _walk(
    module: Module, name: str, runs: int, loop: str, loops: dict[str, Loop], remarks: list[str]
) -> Iterator[Operation]:
    """Yields the operations of a computation and of those that it calls, and fills `loops` and `remarks`."""
    computation = module.computations[name]
    for instruction in computation.values():
        match instruction.opcode:
            case opcode if is_free(opcode):
                continue
            case "while":
                body = called(instruction, "body")
                trips = trip_count(module, instruction)
                if trips is None:
                    remarks.append(f"loop {instruction.name}: unknown number of iterations, counted once")
                inner = list(_walk(module, body, runs * (trips or 1), instruction.name, loops, remarks))
                loops[instruction.name] = Loop(trips or 1, resident_bytes(module, body))
                yield from inner
            case "call":
                yield from _walk(module, called(instruction, "to_apply"), runs, loop, loops, remarks)
            case "conditional":
                # Of the branches the dearest, so that the prediction errs on the careful side.
                choices = [list(_walk(module, name, runs, loop, loops, remarks)) for name in branches(instruction)]
                yield from max(choices, key=lambda ops: sum(op.matmul_flops + op.num_bytes for op in ops), default=[])
            case _:
                operation = _operation(module, computation, instruction, runs, loop, remarks)
                if operation is not None:
                    yield operation


def _operation(
    module: Module,
    computation: Computation,
    instruction: Instruction,
    runs: int,
    loop: str,
    remarks: list[str],
) -> Operation | None:
    target = re.search(r'custom_call_target="([^"]*)"', instruction.attributes)
    if target and target[1] in _NO_KERNEL:
        return None
    arithmetic = arithmetic_of(module, computation, instruction)
    if instruction.opcode == "custom-call" and not arithmetic.matmuls:
        remarks.append(f"custom call {target[1] if target else instruction.name}: only its bytes are counted")
    traffic = traffic_of(module, computation, instruction)
    kind = instruction.opcode.removesuffix("-start")
    collective = _collective(module, computation, instruction)
    cycles = re.search(r'"estimated_cycles":"(\d+)"', instruction.attributes)
    label = re.search(r'op_name="([^"]*)"', instruction.attributes)
    return Operation(
        name=instruction.name,
        opcode=collective.kind if collective else kind,
        label=label[1] if label else "",
        runs=runs,
        loop=loop,
        matmuls=arithmetic.matmuls,
        elementwise=arithmetic.elementwise,
        transcendentals=arithmetic.transcendentals,
        sliced_bytes=traffic.sliced,
        whole_bytes=traffic.whole,
        fast_bytes=traffic.fast,
        collective_bytes=collective.num_bytes if collective else 0,
        group_size=collective.group_size if collective else 1,
        cycles=int(cycles[1]) if cycles else 0,
    )


class _Collective(NamedTuple):
    kind: str
    num_bytes: int
    group_size: int


def _collective(module: Module, computation: Computation, instruction: Instruction) -> _Collective | None:
    """Returns what a collective works on, None for any other operation.

    The bytes are those of the operands, of a gather's all together: results may repeat the operands. The TPU's compiler
    writes a reduce-scatter as a fusion of an all-reduce with the slices that are kept.
    """
    kind = instruction.opcode.removesuffix("-start")
    if kind == "fusion":
        inner = module.computations[called(instruction, "calls")]
        found = (_collective(module, inner, other) for other in inner.values())
        reduced = next((one for one in found if one is not None), None)
        return reduced._replace(kind="reduce-scatter") if reduced and reduced.kind == "all-reduce" else reduced
    if kind not in COLLECTIVES:
        return None
    group_size = _group_size(instruction.attributes)
    num_bytes = sum(computation[name].num_bytes for name in instruction.operands)
    return _Collective(kind, num_bytes * (group_size if kind == "all-gather" else 1), group_size)


def _group_size(attributes: str) -> int:
    """Returns the number of devices in each group: {{0,1},{2,3}}, [2,2]<=[4] or mesh['data'=4] {'data'}."""
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", attributes)
    if listed:
        return len(listed[1].split(","))
    tiled = re.search(r"replica_groups=\[(\d+),(\d+)\]", attributes)
    if tiled:
        return int(tiled[2])
    mesh = re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", attributes)
    if mesh:
        sizes = {name: int(size) for name, size in re.findall(r"'([^']*)'=(\d+)", mesh[1])}
        return math.prod(sizes[name] for name in re.findall(r"'([^']*)'", mesh[2]))
    return 1


def to_json(program: Program) -> dict[str, Any]:
    """Returns the program as what JSON can hold."""
    return json.loads(json.dumps({**program._asdict(), "loops": {k: v._asdict() for k, v in program.loops.items()}}))


def from_json(values: dict[str, Any]) -> Program:
    """Returns the program that `to_json` wrote."""

    def operation(row: Sequence[Any]) -> Operation:
        found = Operation(*row)
        return found._replace(matmuls=tuple(Matmul(*matmul) for matmul in found.matmuls))

    return Program(
        tuple(operation(row) for row in values["operations"]),
        {name: Loop(**loop) for name, loop in values["loops"].items()},
        tuple(values["remarks"]),
    )
