"""From chains to a program: which ranges of which structures to copy, and where columns are in what arrives.

Columns are declared as chains, see :mod:`.chain`.

Fields of a structure that are close to each other are copied together: a call of the helper costs as much as 200 bytes.
What is copied stays raw in the record, pointers included (they lead to the next structures), and aligned as it was,
so that a column is a strided view of the records.
"""

from __future__ import annotations

from ...abi import bpf
from ..record import Record
from .asm import R1, R2, R3, R4, Code
from .chain import Absent, Leaf, Walk
from .kernel import Layout, declared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from mmap import mmap

GAP = 192
_MASK = (1 << 64) - 1
_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "b": 1, "h": 2, "i": 4, "q": 8}


class Records(Record):
    """Where ``number`` records are, one after the other: in the sink itself, so only until the next scan."""

    memory: mmap
    first: int
    number: int


class Node:
    """A structure to copy parts of: an object of the iterator, or what a pointer in an earlier node leads to."""

    def __init__(self, parent: int, pointer: int, adjust: int, index: tuple[Leaf, int, int] | None) -> None:
        self.parent = parent
        self.pointer = pointer  # offset of the pointer inside the parent; for a root: the register that holds it
        self.adjust = adjust
        self.index = index  # column, shift to the right, stride
        self.wanted: dict[int, int] = {}
        self.ranges: list[tuple[int, int, int]] = []  # offset in the structure, size, position in the record

    def position(self, offset: int) -> int:
        """Where in the record the byte at ``offset`` of the structure arrives."""
        for start, size, at in self.ranges:
            if start <= offset < start + size:
                return at + offset - start
        raise KeyError(offset)


class Plan:
    """The columns to read, laid out in a record of ``size`` bytes."""

    def __init__(
        self, layout: Layout, roots: Mapping[str, tuple[str, int]], level: int, before: Mapping[str, str]
    ) -> None:
        """``before`` the rest stand values that the program stores by itself, by name and struct code."""
        self.layout = layout
        self.level = level
        self.structures = declared()
        self.nodes: list[Node] = []
        self.roots: dict[str, tuple[str, int]] = {}
        self.keys: dict[tuple[int, int, int, object], int] = {}
        self.columns: dict[str, Leaf] = {}
        self.constants: dict[str, int] = {}
        self.first = 0
        for name, code in before.items():
            self.columns[name] = Leaf(-1, self.first, code, (0, 0))
            self.first += size_of(code)
        for word, (structure, register) in roots.items():
            self.nodes.append(Node(-1, register, 0, None))
            self.roots[word] = (structure, len(self.nodes) - 1)

    def add(self, name: str, chain: str) -> bool:
        """Adds a column; False when the running kernel has none of the alternatives."""
        if name in self.columns or name in self.constants:
            return True
        for alternative in chain.split(" | "):
            if alternative.startswith("0? "):
                if self.level:
                    continue
                alternative = alternative[3:]
            if alternative.startswith("="):
                self.constants[name] = int(alternative[1:])
                return True
            try:
                self.columns[name] = self._walk(alternative)
            except Absent:
                continue
            return True
        return False

    def _walk(self, chain: str) -> Leaf:
        path, _, code = chain.partition(":")
        word, *steps = path.replace("->", "\0>").replace(".", "\0.").split("\0")
        structure, node = self.roots[word]
        walk = Walk(self, node, structure)
        for step in steps:
            walk.step(step)
        leaf = walk.leaf(code)
        self._want(leaf)
        return leaf

    def _want(self, leaf: Leaf) -> None:
        wanted = self.nodes[leaf.node].wanted
        wanted[leaf.offset] = max(wanted.get(leaf.offset, 0), size_of(leaf.code))

    def child(self, parent: int, pointer: int, adjust: int, index: tuple[Leaf, int, int] | None) -> int:
        """The node behind a pointer, made when it is first needed."""
        key = (parent, pointer, adjust, index)
        if key not in self.keys:
            self._want(Leaf(parent, pointer, "Q", (0, 0)))
            self.nodes.append(Node(parent, pointer, adjust, index))
            self.keys[key] = len(self.nodes) - 1
        return self.keys[key]

    def place(self) -> None:
        """Lays the record out, once all columns have been added."""
        at = self.first
        for node in self.nodes:
            for start, end in _coalesced(node.wanted):
                node.ranges.append((start, end - start, at))
                at += (end - start + 7) & ~7
        self.size = at

    def position(self, leaf: Leaf) -> int:
        """Where in the record a value is."""
        return leaf.offset if leaf.node < 0 else self.nodes[leaf.node].position(leaf.offset)

    def column(self, name: str, records: Records) -> Sequence[int]:
        """One column of the records, as a list: strided slices leave no work to Python but for bytes and bit fields."""
        if name in self.constants:
            return [self.constants[name]] * records.number
        leaf = self.columns[name]
        at, code = self.position(leaf), leaf.code
        if code[-1] == "s":
            size = int(code[:-1])
            first, memory = records.first + at, records.memory
            places = range(first, first + records.number * self.size, self.size)
            return [memory[i : i + size] for i in places]  # type: ignore[misc]
        width = _SIZES[code]
        whole = memoryview(records.memory)[records.first : records.first + records.number * self.size]
        view: memoryview[int] = whole.cast(code)  # type: ignore[call-overload]
        values = view[at // width :: self.size // width].tolist()
        left, right = leaf.shift
        return [(value << left & _MASK) >> right for value in values] if right else values

    def emit(self, code: Code, record: int) -> None:
        """Writes the instructions that fill the record at the address in register ``record``."""
        for node in self.nodes:
            for start, size, at in node.ranges:
                self._address(code, node, record)
                code.add(R3, node.adjust + start)
                code.mov(R1, record)
                code.add(R1, at)
                code.set(R2, size)
                code.call(bpf.FUNC_PROBE_READ_KERNEL)

    def _address(self, code: Code, node: Node, record: int) -> None:
        if node.parent < 0:
            code.mov(R3, node.pointer)
            return
        code.load(8, R3, record, self.nodes[node.parent].position(node.pointer))
        if node.index:
            leaf, shift, stride = node.index
            code.load(4, R4, record, self.position(leaf))
            code.op(bpf.RSH_K, R4, imm=shift)
            code.op(bpf.MUL_K, R4, imm=stride)
            code.op(bpf.ADD_X, R3, R4)


def size_of(code: str) -> int:
    """Bytes of a struct code: one letter, or ``Ns``."""
    return int(code[:-1]) if code[-1] == "s" else _SIZES[code]


def _coalesced(wanted: Mapping[int, int]) -> Iterable[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for offset in sorted(wanted):
        end, offset = offset + wanted[offset], offset & ~7
        if ranges and offset - ranges[-1][1] <= GAP:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((offset, end))
    return ranges
