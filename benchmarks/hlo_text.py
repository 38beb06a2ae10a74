"""The text of a compiled program's HLO: its computations, instructions and arrays."""

import dataclasses
import math
import re

_BITS = {"pred": 8, "token": 0, "bf16": 16, "opaque": 0}
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([0-9,]*)\](?:\{([0-9,]*))?")
_INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
_NAME = re.compile(r"%([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a shape.

    Attributes:
        dtype: as HLO writes it.
        dimensions: its lengths.
        layout: axes from the fastest to the slowest, as HLO writes them; may be empty.
    """

    dtype: str
    dimensions: tuple[int, ...]
    layout: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dimensions)

    @property
    def bytes(self) -> int:
        """Bytes that it takes."""
        digits = re.search(r"\d+", self.dtype)
        bits = _BITS.get(self.dtype, int(digits[0]) if digits else 0)
        return self.size * bits // 8

    @property
    def in_order(self) -> bool:
        """Whether its last axis lies together, then the one before, and so on."""
        expected = tuple(reversed(range(len(self.dimensions))))
        return not self.layout or self.layout == expected


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of HLO.

    Attributes:
        name: its own.
        shape: of its result, as written.
        op: its operation.
        operands: names.
        rest: attributes, as written, and arguments of what has no operands.
        is_root: whether it is its computation's result.
    """

    name: str
    shape: str
    op: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool

    @property
    def arrays(self) -> list[Array]:
        """Arrays of its result."""
        return read_arrays(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its result."""
        return sum(array.bytes for array in self.arrays)

    @property
    def target(self) -> str:
        """Of a custom call: what it calls."""
        return self.find(r'custom_call_target="([^"]+)"') or ""

    def find(self, pattern: str) -> str | None:
        """Returns the group of a pattern in `rest`."""
        found = re.search(pattern, self.rest)
        return found[1] if found else None


def read_computations(text: str) -> tuple[dict[str, dict[str, Instruction]], str]:
    """Returns instructions by name, by the computation's name, and the program's."""
    computations: dict[str, dict[str, Instruction]] = {}
    current: dict[str, Instruction] = {}
    entry = ""
    for line in text.splitlines():
        begins = re.match(r"(ENTRY )?%?([\w.\-]+) .*{$", line)
        if begins:
            current = computations.setdefault(begins[2], {})
            entry = begins[2] if begins[1] else entry
        elif line.startswith(" ") and (instruction := _read_instruction(line)):
            current[instruction.name] = instruction
    return computations, entry


def read_arrays(shape: str) -> list[Array]:
    """Returns the arrays of a shape or a tuple of shapes."""
    return [
        Array(dtype, read_numbers(lengths), read_numbers(layout or ""))
        for dtype, lengths, layout in _ARRAY.findall(shape)
    ]


def read_numbers(text: str) -> tuple[int, ...]:
    """Returns the numbers between commas."""
    return tuple(int(number) for number in text.split(",") if number)


def is_convolution(each: Instruction) -> bool:
    """Whether an instruction is one of cuDNN's convolutions."""
    return "cudnn$conv" in each.target


def _read_instruction(line: str) -> Instruction | None:
    found = _INSTRUCTION.match(line)
    if found is None:
        return None
    root, name, rest = found.groups()
    shape_end = _find_end(rest) if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:shape_end], rest[shape_end:].strip()
    op = re.match(r"([\w\-]+)\(", rest)
    if op is None:
        return None
    end = len(op[1]) + _find_end(rest[len(op[1]) :])
    arguments = rest[len(op[0]) : end - 1]
    operands = tuple(_NAME.findall(arguments))
    attributes = rest[end:] if operands else arguments + rest[end:]
    return Instruction(name, shape, op[1], operands, attributes, bool(root))


def _find_end(text: str) -> int:
    """Returns where the bracket ends with which a text begins."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place + 1
    return len(text)
