"""Parses the text of a compiled XLA module into computations and instructions.

The text is what `compiled.as_text()` gives; CPU, GPU and TPU write the same language with different attributes.
"""

import math
import re
from typing import NamedTuple

from ostinato.configs.errors import UserError

BITS = {
    "pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "s32": 32, "u32": 32, "s64": 64, "u64": 64,
    "f8e4m3fn": 8, "f8e5m2": 8, "f16": 16, "bf16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128,
}  # fmt: skip
_SHAPE = re.compile(r"([a-z]+\d*[a-z0-9]*)\[([\d,<=]*)\](\{[^{}]*\})?")
_HEADER = re.compile(r"^(ENTRY )?%?([^\s(]+) \(.*\) -> .*\{$")
_LINE = re.compile(r"^\s+(ROOT )?%?(\S+) = (.*)$")


class Shape(NamedTuple):
    """One array of an operation's result."""

    dtype: str
    dims: tuple[int, ...]
    in_fast_memory: bool
    """The compiler placed it in memory beside the compute units (TPU: VMEM and scalar memory), not in HBM."""

    @property
    def size(self) -> int:
        return math.prod(self.dims)

    @property
    def num_bytes(self) -> int:
        return -(-self.size * BITS.get(self.dtype, 0) // 8)


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    opcode: str
    shapes: tuple[Shape, ...]
    """More than one for a tuple."""
    operands: tuple[str, ...]
    literal: str
    """What stands between the brackets, such as the value of a constant."""
    attributes: str
    is_root: bool

    @property
    def num_bytes(self) -> int:
        return sum(shape.num_bytes for shape in self.shapes)


Computation = dict[str, Instruction]


class Module(NamedTuple):
    """The computations of a module by name."""

    computations: dict[str, Computation]
    entry: str


def parse(text: str) -> Module:
    """Returns the computations in the text of `compiled.as_text()`.

    Raises:
        UserError: the text has no entry computation.
    """
    computations: dict[str, Computation] = {}
    entry, current = "", {}
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            current = computations.setdefault(header[2], {})
            entry = header[2] if header[1] else entry
            continue
        found = _LINE.match(line)
        if found:
            instruction = _instruction(found[2], found[3], is_root=bool(found[1]))
            current[instruction.name] = instruction
    if not entry:
        raise UserError(f"no ENTRY computation in a text of {len(text)} characters; is it a compiled XLA module?")
    return Module(computations, entry)


def _instruction(name: str, rest: str, *, is_root: bool) -> Instruction:
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    opcode, _, _ = rest[end:].strip().partition("(")
    opening = rest.index("(", end)
    closing = _closing(rest, opening)
    literal = rest[opening + 1 : closing]
    shapes = tuple(
        Shape(dtype, tuple(int(d.lstrip("<=")) for d in dims.split(",") if d), bool(re.search(r"S\([1-9]", layout)))
        for dtype, dims, layout in _SHAPE.findall(rest[:end])
    )
    operands = tuple(re.findall(r"%([^\s,)]+)", literal)) if opcode != "constant" else ()
    return Instruction(name, opcode, shapes, operands, literal, rest[closing + 1 :], is_root)


def _closing(text: str, opening: int) -> int:
    """Returns where the bracket that opens at `opening` closes."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, opening):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return found.start()
    raise UserError(f"unbalanced brackets in {text[:80]!r}")


def called(instruction: Instruction, attribute: str) -> str:
    found = re.search(rf"\b{attribute}=%?([^\s,}}]+)", instruction.attributes)
    assert found, f"{instruction.opcode} {instruction.name} has no {attribute}"
    return found[1]


def branches(instruction: Instruction) -> list[str]:
    found = re.search(r"branch_computations=\{([^}]*)\}", instruction.attributes)
    if found:
        return [name.strip().lstrip("%") for name in found[1].split(",")]
    return [called(instruction, "true_computation"), called(instruction, "false_computation")]


def trip_count(module: Module, instruction: Instruction) -> int | None:
    """Returns how often the body of a while loop runs, or None if the text does not tell.

    Some backends write it down; for the others it is the constant below which the condition keeps its counter, which
    `lax.scan` and `lax.fori_loop` start at zero and raise by one.
    """
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', instruction.attributes)
    if known:
        return int(known[1])
    condition = module.computations[called(instruction, "condition")]
    root = next(i for i in condition.values() if i.is_root)
    if root.opcode == "fusion":
        inner = module.computations[called(root, "calls")]
        root, condition = next(i for i in inner.values() if i.is_root), {**condition, **inner}
    constants = [int(i.literal) for i in condition.values() if i.opcode == "constant" and i.literal.isdigit()]
    if root.opcode != "compare" or "direction=LT" not in root.attributes or len(set(constants)) != 1:
        return None
    return constants[0]
