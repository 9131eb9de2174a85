"""What one instruction of a compiled module costs: its arithmetic, and the bytes that it moves.

The rules are those of XLA's HloCostAnalysis: a fusion reads its operands and writes its result, of an operand that it
only slices it reads the slices, of a buffer that it updates in place it writes the update; what happens inside the
fusion stays in registers.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ostinato.launch.plan.hlo import BITS, Computation, Instruction, Module, Shape, called

_FREE = frozenset(
    {
        "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id",
        "iota", "opt-barrier", "add-dependency", "domain", "async-update", "get-dimension-size",
    }
)  # fmt: skip
_MOVES = frozenset(
    {
        "copy", "copy-start", "slice", "slice-start", "reshape", "transpose", "broadcast", "concatenate", "pad",
        "reverse", "dynamic-slice", "dynamic-update-slice", "gather", "bitcast-convert", "async-start",
    }
)  # fmt: skip
_TRANSCENDENTAL = frozenset(
    {
        "exponential", "exponential-minus-one", "log", "log-plus-one", "tanh", "logistic", "power", "sqrt", "rsqrt",
        "cbrt", "divide", "sine", "cosine", "tan", "erf", "atan2",
    }
)  # fmt: skip
_SEE_THROUGH = frozenset({"bitcast", "reshape", "convert", "copy", "transpose"})


def is_free(opcode: str) -> bool:
    """Tells whether an instruction runs nothing; the end of an asynchronous one does not."""
    return opcode in _FREE or opcode.endswith("-done")


class Matmul(NamedTuple):
    """A product of [rows, inner] and [inner, columns], as one operation computes it."""

    dtype: str
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.columns


class Arithmetic(NamedTuple):
    matmuls: tuple[Matmul, ...] = ()
    elementwise: int = 0
    transcendentals: int = 0


def arithmetic_of(module: Module, computation: Computation, instruction: Instruction) -> Arithmetic:
    """Returns the arithmetic of an operation, of a fusion that of all inside."""
    opcode, size = instruction.opcode, max((shape.size for shape in instruction.shapes), default=0)
    match opcode:
        case "fusion" | "async-start":
            inner = module.computations[called(instruction, "calls")]
            parts = [arithmetic_of(module, inner, i) for i in inner.values()]
            return Arithmetic(
                tuple(matmul for part in parts for matmul in part.matmuls),
                sum(part.elementwise for part in parts),
                sum(part.transcendentals for part in parts),
            )
        case "dot":
            return Arithmetic((_dot(computation, instruction),))
        case "convolution":
            return Arithmetic((_convolution(computation, instruction),))
        case "custom-call" if "gemm" in instruction.attributes or "matmul" in instruction.attributes:
            return Arithmetic((_gemm(computation, instruction),))
        case "reduce" | "reduce-window" | "sort" | "scatter":
            return Arithmetic(elementwise=sum(computation[o].shapes[0].size for o in instruction.operands[:1]))
        case _ if is_free(opcode) or opcode in _MOVES or opcode == "custom-call":
            return Arithmetic()
        case _ if opcode in _TRANSCENDENTAL:
            return Arithmetic(elementwise=size, transcendentals=size)
    return Arithmetic(elementwise=size)


def _dot(computation: Computation, instruction: Instruction) -> Matmul:
    left, right = (computation[name].shapes[0] for name in instruction.operands[:2])
    contracted = _dimensions(instruction.attributes, "lhs_contracting_dims")
    batch = _dimensions(instruction.attributes, "rhs_batch_dims")
    inner = math.prod(left.dims[d] for d in contracted)
    columns = right.size // (inner * math.prod(right.dims[d] for d in batch))
    return Matmul(left.dtype, left.size // inner, inner, columns)  # a batch of products counts as more rows


def _gemm(computation: Computation, instruction: Instruction) -> Matmul:
    left, right = (computation[name].shapes[0] for name in instruction.operands[:2])
    found = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', instruction.attributes)
    contracted = [int(d) for d in re.findall(r"\d+", found[1])] if found else [len(left.dims) - 1]
    inner = math.prod(left.dims[d] for d in contracted)
    return Matmul(left.dtype, left.size // inner, inner, right.size // inner)


def _convolution(computation: Computation, instruction: Instruction) -> Matmul:
    """Returns a convolution as a product; the TPU compiler writes every matmul as one."""
    left, right = (computation[name].shapes[0] for name in instruction.operands[:2])
    found = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    assert found, instruction.name
    inputs, kernel, outputs = found[1], found[2], found[3]
    out = instruction.shapes[0]
    columns = right.dims[kernel.index("o")]
    inner = right.dims[kernel.index("i")]
    rows = out.size // columns
    window: dict[str, str] = dict(re.findall(r"(\w+)=([\dx_-]+)", _braces(instruction.attributes, "window")))
    for number, label in enumerate(label for label in outputs if label.isdigit()):
        pairs = _valid_pairs(window, number, left.dims[inputs.index(label)], out.dims[outputs.index(label)])
        # Each output position meets on average this many positions of the input.
        inner, rows = inner * pairs, rows // out.dims[outputs.index(label)]
    return Matmul(left.dtype, rows, inner, columns)


def _valid_pairs(window: dict[str, str], axis: int, input_size: int, output_size: int) -> int:
    """Returns the pairs of an output position and a window position that fall on the input and not on its padding."""

    def setting(key: str, default: str) -> str:
        return window[key].split("x")[axis] if key in window else default

    size, stride, spacing, holes = (int(setting(key, "1")) for key in ("size", "stride", "rhs_dilate", "lhs_dilate"))
    low = int(setting("pad", "0_0").split("_")[0])
    position = np.arange(output_size)[:, None] * stride + np.arange(size)[None] * spacing - low
    valid = (position >= 0) & (position <= (input_size - 1) * holes) & (position % holes == 0)
    return int(valid.sum())


def _dimensions(attributes: str, name: str) -> list[int]:
    return [int(d) for d in _braces(attributes, name).split(",") if d]


def _braces(attributes: str, name: str) -> str:
    found = re.search(rf"\b{name}=\{{([^}}]*)\}}", attributes)
    return found[1] if found else ""


class Traffic(NamedTuple):
    sliced: int
    whole: int
    fast: int


def traffic_of(module: Module, computation: Computation, instruction: Instruction) -> Traffic:
    """Returns the bytes that an operation reads and writes."""
    sliced = whole = fast = 0
    for num_bytes, full, in_fast_memory in _accesses(module, computation, instruction):
        if in_fast_memory:
            fast += num_bytes
        elif full:
            whole += num_bytes
        else:
            sliced += num_bytes
    return Traffic(sliced, whole, fast)


def _accesses(module: Module, computation: Computation, instruction: Instruction) -> Iterator[tuple[int, bool, bool]]:
    """Yields (bytes, is it the whole array, is it in fast memory) for each array that is read or written."""
    operands = [computation[name] for name in instruction.operands if name in computation]
    results = instruction.shapes
    match instruction.opcode:
        case "fusion":
            inner = module.computations[called(instruction, "calls")]
            parameters = {int(i.literal): i for i in inner.values() if i.opcode == "parameter"}
            for number, operand in enumerate(operands):
                if operand.opcode != "constant" and operand.shapes:
                    num_bytes, full = _read_of(module, inner, parameters[number])
                    yield num_bytes, full, operand.shapes[0].in_fast_memory
            root = next(i for i in inner.values() if i.is_root)
            written = [inner[name] for name in root.operands] if root.opcode == "tuple" else [root]
            for shape, source in zip(results, written, strict=False):
                update = _update_of(inner, source)
                yield (shape.num_bytes, True, shape.in_fast_memory) if update is None else (
                    update.num_bytes, False, shape.in_fast_memory,
                )  # fmt: skip
            return
        case "dynamic-update-slice":
            for shape in (operands[1].shapes[0],) * 2:
                yield shape.num_bytes, False, results[0].in_fast_memory
            return
        case "dynamic-slice" | "slice" | "gather":
            yield results[0].num_bytes, False, operands[0].shapes[0].in_fast_memory
        case "slice-start":
            piece = min(results[:2], key=lambda shape: shape.size)
            yield piece.num_bytes, False, operands[0].shapes[0].in_fast_memory
            yield piece.num_bytes, True, results[1].in_fast_memory
            return
        case "copy-start":
            yield operands[0].num_bytes, True, operands[0].shapes[0].in_fast_memory
            yield operands[0].num_bytes, True, results[0].in_fast_memory
            return
        case "scatter":
            updates = operands[-1].shapes[0]
            for _ in range(3):  # the update itself, and the rows that it is added to, read and written
                yield updates.num_bytes, False, False
            return
        case _:
            for operand in operands:
                if operand.opcode != "constant":
                    for shape in operand.shapes[:1]:
                        yield shape.num_bytes, True, shape.in_fast_memory
    for shape in results:
        yield shape.num_bytes, True, shape.in_fast_memory


def _read_of(module: Module, inner: Computation, parameter: Instruction) -> tuple[int, bool]:
    """Returns the bytes that a fusion reads of a parameter, and whether that is all of it."""
    total = 0
    pending = [parameter.name]
    while pending:
        name = pending.pop()
        for user in inner.values():
            if name not in user.operands:
                continue
            if user.opcode in _SEE_THROUGH and not user.is_root:
                pending.append(user.name)
            elif user.opcode in ("dynamic-slice", "slice", "gather") and user.operands[0] == name:
                total += user.shapes[0].size * BITS.get(parameter.shapes[0].dtype, 0) // 8
            elif user.opcode == "dynamic-update-slice" and user.operands[0] == name:
                continue  # updated in place
            elif user.opcode == "fusion":
                nested = module.computations[called(user, "calls")]
                parameters = {int(i.literal): i for i in nested.values() if i.opcode == "parameter"}
                num_bytes, full = _read_of(module, nested, parameters[user.operands.index(name)])
                if full:
                    return parameter.num_bytes, True
                total += num_bytes
            else:
                return parameter.num_bytes, True
    return min(total, parameter.num_bytes), False


def _update_of(inner: Computation, source: Instruction) -> Shape | None:
    """Returns what a result writes if it updates a part of an array in place."""
    while source.opcode in _SEE_THROUGH:
        source = inner[source.operands[0]]
    return inner[source.operands[1]].shapes[0] if source.opcode == "dynamic-update-slice" else None


def resident_bytes(module: Module, body: str) -> int:
    """Returns the bytes of the distinct arrays that the operations of a loop's body touch as a whole."""
    computation = module.computations[body]
    touched: dict[str, int] = {}
    for instruction in computation.values():
        if is_free(instruction.opcode) or instruction.opcode in ("while", "call", "conditional"):
            continue
        names = [name for name in instruction.operands if name in computation]
        accesses = list(_accesses(module, computation, instruction))
        for name, (num_bytes, full, in_fast_memory) in zip(names, accesses, strict=False):
            if full and not in_fast_memory and num_bytes == computation[name].num_bytes:
                touched[name] = num_bytes
        if accesses and accesses[-1][1] and not accesses[-1][2]:
            touched[instruction.name] = accesses[-1][0]
    return sum(touched.values())
