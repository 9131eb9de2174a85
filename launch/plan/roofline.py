"""How long a compiled step takes at given speeds, and what it waits for; how that grows with devices.

Pure arithmetic over the operations of `launch/plan/program.py`. They run one after the other, each for as long as its
arithmetic or its memory traffic takes, whichever is longer, and each is started at a cost. Nothing overlaps, so the
prediction errs on the careful side; `at_peak_s` is the other bound. A scan of t steps thus takes t times the sum over
the operations of its body: where the batch is small, that is mostly the cost of starting them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ostinato.launch.plan.hlo_costs import Matmul
from ostinato.launch.plan.program import Operation, Program


class Speeds(NamedTuple):
    """What one device does in a second, as reached and not as advertised."""

    matmul_flops: Mapping[str, float]
    """FLOP/s by the dtype of what is multiplied; any other counts as f32."""
    elementwise: float
    """Additions, products and the like in a second."""
    transcendentals: float
    """Exponentials, tanh, divisions and the like in a second."""
    memory: float
    """Bytes per second to and from main memory (HBM)."""
    cache_bytes: float
    """What a loop touches in every iteration stays in the cache if it is smaller."""
    cache: float
    """Bytes per second to and from the cache, or the fast memory of a TPU."""
    operation_s: float
    """What it costs to start an operation and to wait for the one before."""
    step_s: float = 0.0
    """What it costs to call the step, where that does not hide behind the step before."""
    free_bytes: int = 0
    """Operations on fewer bytes start for nothing (a TPU's scalar core)."""
    matmul_shapes: Mapping[Matmul, float] = {}
    """FLOP/s measured for single shapes, where there is a machine to measure on."""


class Times(NamedTuple):
    """Seconds of a step on one device, by what each operation waits for."""

    compute: float = 0.0
    memory: float = 0.0
    latency: float = 0.0
    interconnect: float = 0.0

    @property
    def total(self) -> float:
        return sum(self)

    @property
    def bound(self) -> str:
        """What takes the largest share."""
        return max(zip(self, self._fields, strict=True))[1]


class Torus(NamedTuple):
    """Chips in a grid of 2 or 3 dimensions (TPU)."""

    link: float
    """Bytes per second of one link in one direction."""
    slices: Mapping[int, tuple[int, ...]]
    """The grid by the number of chips."""
    wraps: int
    """An axis closes to a ring where its length is a multiple of this."""
    hop_s: float

    def all_reduce_s(self, num_bytes: float, num_devices: int) -> float:
        """Returns the time of a ring all-reduce over all axes at once, each with its share of the bytes.

        A ring sends both ways on two links of each chip; a line has half of that.
        """
        if num_devices == 1:
            return 0.0
        grid = [size for size in self.slices[num_devices] if size > 1]
        bandwidth = self.link * sum(2 if size % self.wraps == 0 else 1 for size in grid)
        hops = 2 * sum(size - 1 for size in grid)
        return 2 * (num_devices - 1) / num_devices * num_bytes / bandwidth + hops * self.hop_s


class Hosts(NamedTuple):
    """Devices that are linked inside a host (NVLink), hosts by a network."""

    per_host: int
    link: float
    """Bytes per second of one device in one direction, inside a host."""
    network: float
    """The same between hosts."""
    start_s: float
    """What a collective costs however small, for each doubling of devices."""

    def all_reduce_s(self, num_bytes: float, num_devices: int) -> float:
        """Returns the time inside the hosts, plus that between them of each device's share of a host's sum."""
        if num_devices == 1:
            return 0.0
        local = min(num_devices, self.per_host)
        hosts = math.ceil(num_devices / self.per_host)
        inside = 2 * (local - 1) / local * num_bytes / self.link
        between = 2 * (hosts - 1) / hosts * (num_bytes / local) / self.network
        return inside + between + math.ceil(math.log2(num_devices)) * self.start_s


Interconnect = Torus | Hosts


class LoopTimes(NamedTuple):
    """All loops of a step together; for this network, the scans over time."""

    iterations: int
    """In a step, one after the other."""
    total_s: float
    latency_s: float
    """Of the total, what starting the operations costs: the least that any batch takes."""


def step_times(program: Program, speeds: Speeds) -> Times:
    """Returns the seconds of a step, without the interconnect."""
    parts = [_scaled(operation_times(operation, program, speeds), operation.runs) for operation in program.operations]
    return _sum([*parts, Times(latency=speeds.step_s)])


def loop_times(program: Program, speeds: Speeds) -> LoopTimes:
    """Returns the part of `step_times` that is spent in loops."""
    inside = [operation for operation in program.operations if operation.loop]
    times = _sum([_scaled(operation_times(operation, program, speeds), operation.runs) for operation in inside])
    iterations = sum({operation.loop: operation.runs for operation in inside}.values())
    return LoopTimes(iterations, times.total, times.latency)


def operation_times(operation: Operation, program: Program, speeds: Speeds) -> Times:
    """Returns the seconds of one run of an operation; of a collective none, see `collective_s`."""
    if operation.collective_bytes:
        return Times()
    compute = sum(_matmul_s(matmul, speeds) for matmul in operation.matmuls)
    compute += operation.elementwise / speeds.elementwise + operation.transcendentals / speeds.transcendentals
    cached = bool(operation.loop) and program.loops[operation.loop].resident_bytes <= speeds.cache_bytes
    near = operation.fast_bytes + (operation.whole_bytes if cached else 0)
    far = operation.sliced_bytes + (0 if cached else operation.whole_bytes)
    memory = far / speeds.memory + near / speeds.cache
    starts = not operation.opcode.endswith("-start") and (
        operation.num_bytes + operation.fast_bytes >= speeds.free_bytes or bool(operation.matmuls)
    )
    latency = speeds.operation_s if starts else 0.0
    return Times(compute=compute, latency=latency) if compute >= memory else Times(memory=memory, latency=latency)


def at_peak_s(program: Program, speeds: Speeds) -> float:
    """Returns what no program can beat: all its matmuls at full speed, or all its traffic, whichever takes longer."""
    flops_s = sum(op.runs * _matmul_s(matmul, speeds) for op in program.operations for matmul in op.matmuls)
    moved = sum(op.runs * op.sliced_bytes for op in program.operations)
    moved += sum(op.runs * op.whole_bytes for op in program.operations if not op.loop)
    return max(flops_s, moved / speeds.memory)


def collective_s(program: Program, interconnect: Interconnect, num_devices: int) -> float:
    """Returns the seconds that the step's collectives take, were they among so many devices.

    An all-reduce is a reduce-scatter and an all-gather; whatever is not an all-reduce counts as half of one.
    """
    return sum(
        operation.runs
        * interconnect.all_reduce_s(operation.collective_bytes, num_devices)
        * (1.0 if operation.opcode == "all-reduce" else 0.5)
        for operation in program.operations
        if operation.collective_bytes
    )


class Line(NamedTuple):
    """Seconds of a step on one device as a straight line over its rows."""

    fixed_s: float
    per_row_s: float

    def at(self, rows: float) -> float:
        return self.fixed_s + self.per_row_s * rows


def line_through(points: Sequence[tuple[float, float]]) -> Line | None:
    """Returns the line through the smallest and the largest of (rows of one device, seconds); None if there is but one.

    One batch does not tell what a step takes however few rows there are, such as reading the weights at every step of
    the scan.
    """
    (x0, y0), (x1, y1) = min(points), max(points)
    if x0 == x1:
        return None
    slope = max(0.0, (y1 - y0) / (x1 - x0))
    return Line(max(0.0, y0 - slope * x0), slope)


class Scaling(NamedTuple):
    """How well a number of devices is used, 1 being perfect."""

    num_devices: int
    all_reduce_s: float
    weak: float
    """Each device keeps its rows, so the batch grows with the devices."""
    strong: float | None
    """The batch stays, so each device has fewer rows; None where that is less than a row, or not known."""


def scaling(
    alone_s: float, line: Line | None, reduce_s_of: Callable[[int], float], *, batch_size: int, largest: int = 256
) -> list[Scaling]:
    """Returns the efficiency for 1, 2, 4, … devices, against one device that does the same work alone.

    Args:
        alone_s: what a device takes for its rows, without the others.
        line: the same for any number of rows, if known.
        reduce_s_of: seconds of a step's collectives among a number of devices.
        batch_size: rows that are shared out where the batch stays.
        largest: number of devices to end with.
    """
    found = []
    for num_devices in (2**k for k in range(int(math.log2(largest)) + 1)):
        reduce_s = reduce_s_of(num_devices)
        rows, strong = batch_size / num_devices, None
        if line is not None and rows >= 1:
            strong = line.at(batch_size) / (num_devices * (line.at(rows) + reduce_s))
        found.append(Scaling(num_devices, reduce_s, alone_s / (alone_s + reduce_s), strong))
    return found


def _matmul_s(matmul: Matmul, speeds: Speeds) -> float:
    by_dtype = speeds.matmul_flops.get(matmul.dtype, speeds.matmul_flops["f32"])
    return matmul.flops / speeds.matmul_shapes.get(matmul, by_dtype)


def _scaled(times: Times, factor: int) -> Times:
    return Times(*(factor * value for value in times))


def _sum(parts: Sequence[Times]) -> Times:
    return Times(*(math.fsum(column) for column in zip(Times(), *parts, strict=True)))
