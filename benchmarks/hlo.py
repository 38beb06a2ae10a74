"""What a compiled program does, read from the text of its optimised HLO.

XLA prints the kernels that it will start, what they read and write, and how arrays lie
in memory; so bytes, operations, loops and exchanges between devices are counted without
a device. No cache is assumed: a kernel reads all of its operands and writes all of its
results, of a slice only what is taken.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

from benchmarks.hlo_text import (
    Instruction,
    is_convolution,
    read_computations,
    read_numbers,
)

# These take no time: they say where something lies.
_FREE = frozenset(
    "parameter constant get-tuple-element tuple bitcast after-all partition-id "
    "replica-id opt-barrier".split()
)
# Each element of their result comes from one of each operand as large.
_ELEMENTWISE = frozenset(
    "bitcast copy reshape transpose convert add subtract multiply divide maximum "
    "minimum negate select compare and or not".split()
)
_COLLECTIVES = ("all-", "reduce-scatter", "collective-")
_MOVES = frozenset("parameter bitcast transpose copy convert tuple".split())


@dataclasses.dataclass
class Costs:
    """What a computation costs, loops of known length included.

    Attributes:
        bytes: read and written.
        flops: of convolutions and products, two for each multiplication.
        kernels: that are started.
        collectives: exchanges between devices, by operation.
        waits: names of loops of unknown length and of conditions: for each of their
            turns the host waits for the device, and the device for the host.
    """

    bytes: int = 0
    flops: int = 0
    kernels: int = 0
    collectives: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    waits: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: "Costs", times: int = 1) -> None:
        """Adds what happens `times` times."""
        self.bytes += times * other.bytes
        self.flops += times * other.flops
        self.kernels += times * other.kernels
        for name, count in other.collectives.items():
            self.collectives[name] += times * count
        self.waits += other.waits


class Program:
    """A compiled program.

    Attributes:
        computations: instructions by name, by the computation's name.
        entry: name of the computation that is the program.
    """

    def __init__(self, text: str) -> None:
        """Reads the text that `compiled.as_text()` gives."""
        self.computations, self.entry = read_computations(text)

    @property
    def instructions(self) -> Iterator[Instruction]:
        """All, in all computations."""
        for computation in self.computations.values():
            yield from computation.values()

    def find_step(self) -> str:
        """Returns the body of the program's outermost loop, a step of training.

        Raises:
            ValueError: if there is not exactly one such loop.
        """
        entry = self.computations[self.entry].values()
        bodies = [_name_body(each) for each in entry if each.op == "while"]
        if len(bodies) != 1:
            raise ValueError(f"Expected one loop of steps, found {len(bodies)}.")
        return bodies[0]

    def count_costs(self, name: str) -> Costs:
        """Returns what one run of the computation `name` costs."""
        costs = Costs()
        for each in self.computations[name].values():
            self._count(costs, each, self.computations[name])
        return costs

    def _count(
        self, costs: Costs, each: Instruction, here: dict[str, Instruction]
    ) -> None:
        if each.op in _FREE or each.op.endswith("-done"):
            return
        if each.op == "while":
            turns = each.find(r'known_trip_count[^}]*?"n":"(\d+)"')
            costs.add(self.count_costs(_name_body(each)), int(turns or 1))
            if turns is None:
                costs.waits.append(each.find(r'op_name="([^"]*)"') or each.name)
            return
        if each.op == "conditional":
            costs.waits.append(each.find(r'op_name="([^"]*)"') or each.name)
            return
        if each.op in ("call", "async-start"):
            costs.add(self.count_costs(_name_called(each)))
            return
        if each.op.startswith(_COLLECTIVES):
            costs.collectives[each.op.removesuffix("-start")] += 1
        costs.kernels += 1
        read, written = self._measure(each, here)
        costs.bytes += read + written
        costs.flops += self._count_flops(each, here)

    def _measure(
        self, each: Instruction, here: dict[str, Instruction]
    ) -> tuple[int, int]:
        """Returns bytes that an instruction reads, and that it writes."""
        operands = [here[name].bytes if name in here else 0 for name in each.operands]
        if each.op != "fusion":
            return sum(operands), each.bytes
        inside = self.computations[_name_called(each)]
        for instruction in inside.values():
            if instruction.op == "parameter":
                place = int(instruction.find(r"^(\d+)") or 0)
                taken = _count_taken(instruction, inside)
                if taken is not None:
                    array = instruction.arrays[0]
                    part = min(taken, array.size) / max(array.size, 1)
                    operands[place] = round(part * array.bytes)
        root = next(i for i in inside.values() if i.is_root)
        while root.op == "bitcast":
            root = inside[root.operands[0]]
        if root.op == "dynamic-update-slice":
            return sum(operands), 2 * inside[root.operands[1]].bytes
        return sum(operands), each.bytes

    def _count_flops(self, each: Instruction, here: dict[str, Instruction]) -> int:
        if each.op == "fusion":
            inside = self.computations[_name_called(each)]
            return sum(self._count_flops(i, inside) for i in inside.values())
        shapes = [here[n].arrays[0].dimensions for n in each.operands if n in here]
        if each.op == "dot":
            axes = each.find(r"lhs_contracting_dims=\{([0-9,]*)\}")
        elif "matmul" in each.target or "gemm" in each.target:
            axes = each.find(r'"lhs_contracting_dimensions":\[([^\]]*)\]') or ""
            axes = axes.replace('"', "")
        elif is_convolution(each):
            result = each.arrays[0].dimensions
            # Which of the three is the convolution's result, and which its kernel.
            y, kernel = result, shapes[1]
            if "BackwardFilter" in each.target:
                y, kernel = shapes[1], result
            elif "BackwardInput" in each.target:
                y = shapes[0]
            labels = (each.find(r"dim_labels=\S+->(\w+)") or "").rstrip(",")
            places = math.prod(
                n for n, label in zip(y, labels, strict=True) if label != "f"
            )
            return 2 * places * math.prod(kernel)
        else:
            return 0
        inner = math.prod(shapes[0][axis] for axis in read_numbers(axes or ""))
        return 2 * each.arrays[0].size * inner

    def find_transposed_convolutions(self) -> list[str]:
        """Returns names of convolutions whose images are rearranged in memory for them.

        Or do not lie with their channels together. Kernels are small and may be.
        """
        found = []
        for here in self.computations.values():
            users: dict[str, list[Instruction]] = collections.defaultdict(list)
            for each in here.values():
                for name in each.operands:
                    users[name].append(each)
            for each in here.values():
                if is_convolution(each) and self._is_rearranged(each, here, users):
                    found.append(each.name)
        return found

    def _is_rearranged(
        self,
        each: Instruction,
        here: dict[str, Instruction],
        users: dict[str, list[Instruction]],
    ) -> bool:
        labels = each.find(r"dim_labels=(\S+)") or ""
        sides = re.match(r"(\w+)_\w+->(\w+)", labels)
        if sides is None or {sides[1], sides[2]} != {"b01f"}:
            return True
        if "BackwardFilter" in each.target:
            before, results = each.operands[:2], []
        else:
            before, results = each.operands[:1], each.arrays[:1]
        images = [*results, *(here[name].arrays[0] for name in before)]
        if not all(image.in_order for image in images):
            return True
        around = [here[name] for name in _skip_free(before, here)]
        if results:
            around += _find_users(each.name, users)
        return any(self._only_moves(one) for one in around)

    def _only_moves(self, each: Instruction) -> bool:
        """Whether an instruction writes what it reads, in another order."""
        if each.op == "transpose":
            return True
        if each.op == "copy":
            return not each.arrays[0].in_order
        if each.op != "fusion":
            return False
        inside = self.computations[_name_called(each)].values()
        return {i.op for i in inside} <= _MOVES and any(
            # With more axes pixels are cut into blocks, or blocks put together.
            i.op == "transpose" and len(i.arrays[0].dimensions) <= 4
            for i in inside
        )


def _name_called(each: Instruction) -> str:
    return each.find(r"(?:calls|to_apply|called_computation)=%?([\w.\-]+)") or ""


def _name_body(each: Instruction) -> str:
    return each.find(r"body=%?([\w.\-]+)") or ""


def _count_taken(each: Instruction, inside: dict[str, Instruction]) -> int | None:
    """Returns how many elements of an array a fusion takes; None: all."""
    if each.is_root:
        return None
    taken = 0
    for user in inside.values():
        if each.name not in user.operands:
            continue
        first = user.operands[0] == each.name
        if user.op in ("dynamic-slice", "slice", "gather") and first:
            taken += user.arrays[0].size
        elif user.op in _ELEMENTWISE:
            # Of what it makes no more than what is taken of it.
            more = _count_taken(user, inside)
            if more is None:
                return None
            taken += more
        elif not (user.op == "dynamic-update-slice" and first):
            return None
    return taken


def _skip_free(names: Sequence[str], here: dict[str, Instruction]) -> Iterator[str]:
    """Yields where arrays come from, past what takes no time."""
    for name in names:
        while here[name].op in ("bitcast", "get-tuple-element"):
            name = here[name].operands[0]
        yield name


def _find_users(
    name: str, users: dict[str, list[Instruction]]
) -> Iterator[Instruction]:
    for user in users[name]:
        if user.op in ("bitcast", "get-tuple-element"):
            yield from _find_users(user.name, users)
        else:
            yield user
