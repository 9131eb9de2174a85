"""How long a step takes at given speeds, and what it waits for; how that grows with devices.

Pure arithmetic over the operations of `launch/plan/costs.py`. They run one after the other, each for as long as its
arithmetic or its memory traffic takes, whichever is longer, and each is started at a cost. Nothing overlaps, so the
prediction errs on the careful side; `at_peak_s` is the other bound. A scan of t steps thus takes t times the sum over
the operations of its body: where the batch is small, that is mostly the cost of starting them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ostinato.launch.plan.costs import Matmul, Operation, Program


class Speeds(NamedTuple):
    """What one device does in a second: FLOP/s by dtype (any other counts as float32), operations/s and bytes/s.

    What a loop touches in every iteration stays in the cache (TPU: VMEM) if it is smaller. `operation_s` is what it
    costs to start an operation and to wait for the one before; those on fewer than `free_bytes` start for nothing (a
    TPU's scalar core). `step_s` is what it costs to call the step, where that does not hide behind the step before.
    """

    matmul_flops: Mapping[str, float]
    elementwise: float
    transcendentals: float
    memory: float
    cache_bytes: float
    cache: float
    operation_s: float
    step_s: float = 0.0
    free_bytes: int = 0
    matmul_shapes: Mapping[Matmul, float] = {}
    """FLOP/s measured for single shapes, where there is a machine to measure on."""

    def matmul_s(self, matmul: Matmul) -> float:
        """Returns the seconds of a product."""
        by_dtype = self.matmul_flops.get(matmul.dtype, self.matmul_flops["float32"])
        return matmul.flops / self.matmul_shapes.get(matmul, by_dtype)


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
    """Chips in a grid of 2 or 3 dimensions (TPU); `link` is in bytes per second of one link in one direction.

    An axis closes to a ring where its length is a multiple of `wraps`.
    """

    link: float
    slices: Mapping[int, tuple[int, ...]]
    """The grid by the number of chips."""
    wraps: int
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
    """Devices that are linked inside a host (NVLink), hosts by a network: bytes/s of one device in one direction.

    A collective costs `start_s`, however small, for each doubling of devices.
    """

    per_host: int
    link: float
    network: float
    start_s: float

    def all_reduce_s(self, num_bytes: float, num_devices: int) -> float:
        """Returns the time inside the hosts, plus that between them of each device's share of a host's sum."""
        if num_devices == 1:
            return 0.0
        local, hosts = min(num_devices, self.per_host), math.ceil(num_devices / self.per_host)
        inside = 2 * (local - 1) / local * num_bytes / self.link
        between = 2 * (hosts - 1) / hosts * (num_bytes / local) / self.network
        return inside + between + math.ceil(math.log2(num_devices)) * self.start_s


Interconnect = Torus | Hosts


def step_times(program: Program, speeds: Speeds, *, only_loops: bool = False) -> Times:
    """Returns the seconds of a step, or of its loops alone (here the scans over time), without the interconnect."""
    parts = [Times(latency=0.0 if only_loops else speeds.step_s)]
    for operation in program.operations:
        if operation.loop or not only_loops:
            parts.append(Times(*(operation.runs * part for part in operation_times(operation, speeds))))
    return Times(*map(math.fsum, zip(*parts, strict=True)))


def operation_times(operation: Operation, speeds: Speeds) -> Times:
    """Returns the seconds of one run of an operation; of a collective none, see `collective_s`."""
    if operation.collective:
        return Times()
    compute = operation.elementwise / speeds.elementwise + operation.transcendentals / speeds.transcendentals
    compute += speeds.matmul_s(operation.matmul) if operation.matmul else 0.0
    cached = cached_bytes(operation, speeds)
    memory = (operation.num_bytes - cached) / speeds.memory + cached / speeds.cache
    starts = operation.num_bytes >= speeds.free_bytes or operation.matmul
    latency = speeds.operation_s if starts else 0.0
    return Times(compute=compute, latency=latency) if compute >= memory else Times(memory=memory, latency=latency)


def cached_bytes(operation: Operation, speeds: Speeds) -> int:
    """Returns what of an operation's traffic goes to and from the cache."""
    fits = operation.loop is not None and operation.loop.resident_bytes <= speeds.cache_bytes
    return operation.whole_bytes if fits else 0


def at_peak_s(program: Program, speeds: Speeds) -> float:
    """Returns what no program can beat: all its matmuls at full speed, or all its traffic, whichever takes longer."""
    flops_s = sum(op.runs * speeds.matmul_s(op.matmul) for op in program.operations if op.matmul)
    moved = sum(op.runs * (op.sliced_bytes if op.loop else op.num_bytes) for op in program.operations)
    return max(flops_s, moved / speeds.memory)


def collective_s(program: Program, interconnect: Interconnect, num_devices: int) -> float:
    """Returns the seconds that the step's collectives take, were they among so many devices.

    An all-reduce is a reduce-scatter and an all-gather; whatever is not an all-reduce counts as half of one.
    """
    total = 0.0
    for op in program.operations:
        if op.collective:
            share = 1.0 if op.collective == "all-reduce" else 0.5
            total += op.runs * share * interconnect.all_reduce_s(op.collective_bytes, num_devices)
    return total


def scaling(
    points: Sequence[tuple[float, float]],
    reduce_s_of: Callable[[int], float],
    *,
    batch_size: int,
    num_devices: Sequence[int] = tuple(2**k for k in range(9)),
) -> list[dict[str, Any]]:
    """Returns how well so many devices are used, 1 being as well as one device that does the same work alone.

    `weak` where each device keeps its rows, so that the batch grows with the devices; `strong` where the batch stays,
    so that each has fewer rows: None where that is less than a row.

    The points are (rows of a device, seconds that they take it without the others), those of the run first. A second
    one tells what a step takes however few rows there are, such as reading the weights at every step of the scan; the
    time is then a line through the smallest and the largest. Without it, `strong` is not known. `reduce_s_of` gives the
    seconds of a step's collectives among a number of devices.
    """
    (x0, y0), (x1, y1) = min(points), max(points)
    slope = max(0.0, (y1 - y0) / (x1 - x0)) if x1 > x0 else 0.0
    fixed_s = max(0.0, y0 - slope * x0)
    found = []
    for count in num_devices:
        reduce_s, rows, strong = reduce_s_of(count), batch_size / count, None
        if x1 > x0 and rows >= 1:
            strong = (fixed_s + slope * batch_size) / (count * (fixed_s + slope * rows + reduce_s))
        weak = points[0][1] / (points[0][1] + reduce_s)
        found.append({"num_devices": count, "all_reduce_s": reduce_s, "weak": weak, "strong": strong})
    return found
