"""From chains to a program: which ranges of which structures to copy, and where columns are in what arrives.

Columns are declared as chains, see :mod:`.chain`. Those of a record go there raw, aligned as they were, so that a
column is a strided view of the records. What is only needed on the way, pointers and the operands of words (see
:mod:`.common`), goes to a scratch area that every record uses anew.

A kernel that can show any address as memory to read (``bpf_rdonly_cast`` to void, Linux 6.17) is read with plain
loads, which the verifier neither minds nor searches types for. Else a helper copies; a call of it costs as much as
200 bytes, so fields of a structure that are close to each other are copied together.
"""

from __future__ import annotations

from ...abi import bpf
from ..record import Record
from .asm import R0, R1, R2, R3, R4, R7, R9, Code
from .chain import Absent, Leaf, Walk
from .common import Word, words_of
from .kernel import CAST, Layout, structures
from .records import Spot, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RECORD, SCRATCH = R7, R9  # registers with the addresses of both
GAP = 192
LOADED = 64  # a longer range is for the helper


class Range(Record):
    """Bytes of a structure, and where they arrive: the register of the area, and the offset in it."""

    start: int
    size: int
    area: int
    at: int


class Node:
    """A structure to copy parts of: an object of the iterator, or what a pointer in an earlier node leads to."""

    def __init__(self, parent: int, pointer: int, adjust: int, index: tuple[Leaf, int, int] | None) -> None:
        self.parent = parent
        self.pointer = pointer  # offset of the pointer inside the parent; for a root: the register that holds it
        self.adjust = adjust
        self.index = index  # column, shift to the right, stride
        self.wanted: dict[int, int] = {}
        self.ranges: list[Range] = []

    def position(self, offset: int) -> tuple[int, int]:
        """The area and the offset in it where the byte at ``offset`` of the structure arrives."""
        for start, size, area, at in self.ranges:
            if start <= offset < start + size:
                return area, at + offset - start
        raise KeyError(offset)


class Plan:
    """The columns to read, laid out in records of ``size`` bytes, and the words of the entries they refer to.

    ``spots`` and ``entry_spots`` say where columns are in either, after :meth:`place`.
    """

    def __init__(
        self, layout: Layout, roots: Mapping[str, tuple[str, int]], level: int, before: Mapping[str, str]
    ) -> None:
        """``before`` the rest stand values that the program stores by itself, by name and struct code."""
        self.layout = layout
        self.level = level
        self.structures = structures()
        self.nodes: list[Node] = []
        self.roots: dict[str, tuple[str, int]] = {}
        self.keys: dict[tuple[int, int, int, object], int] = {}
        self.columns: dict[str, Leaf] = {}
        self.words: list[Word] = []
        self.spots: dict[str, Spot | int] = {}
        self.entry_spots: dict[str, Spot | int] = {}
        self.first = 0
        for name, code in before.items():
            self.columns[name] = Leaf(-1, self.first, code, (0, 0))
            self.first += size_of(code)
        for word, (structure, register) in roots.items():
            self.nodes.append(Node(-1, register, 0, None))
            self.roots[word] = (structure, len(self.nodes) - 1)

    def add(self, name: str, chain: str, *, entry: bool = False) -> bool:
        """Adds a column of the records, or of the entries; False when the running kernel has no alternative of it."""
        if name in (self.entry_spots if entry else {**self.spots, **self.columns}):
            return True
        for alternative in chain.split(" | "):
            if alternative.startswith("0? "):
                if self.level:
                    continue
                alternative = alternative[3:]
            try:
                self._add(name, alternative, entry)
            except Absent:
                continue
            return True
        return False

    def _add(self, name: str, expression: str, entry: bool) -> None:
        if expression.startswith("="):
            (self.entry_spots if entry else self.spots)[name] = int(expression[1:])
        elif entry:
            words = words_of(expression, self._leaf)
            left = words[0].left
            code, shift = (left.code, left.shift) if not words[0].operator else ("Q", (0, 0))
            self.entry_spots[name] = Spot(len(self.words) * 8, code, shift)
            self.words += words
        else:
            self.columns[name] = self._leaf(expression)

    def _leaf(self, chain: str) -> Leaf:
        if chain in self.columns:
            return self.columns[chain]
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
        """Lays records and scratch out, once all columns have been added."""
        kept = {(leaf.node, leaf.offset) for leaf in self.columns.values()}
        ends = {RECORD: self.first, SCRATCH: 0}
        for number, node in enumerate(self.nodes):
            for start, end in _coalesced(node.wanted, -1 if self.cast else GAP):
                size = (end - start + 7) & ~7
                area = RECORD if any((number, at) in kept for at in range(start, end)) else SCRATCH
                node.ranges.append(Range(start, size if self.cast else end - start, area, ends[area]))
                ends[area] += size
        self.size, self.scratch = ends[RECORD], ends[SCRATCH]
        for name, leaf in self.columns.items():
            self.spots[name] = Spot(self.position(leaf)[1], leaf.code, leaf.shift)

    @property
    def cast(self) -> int:
        """The kernel's number of the function that makes any address readable; 0 where it has none."""
        return self.layout.ids.get(CAST, 0)

    def position(self, leaf: Leaf) -> tuple[int, int]:
        """The area and the offset in it where a value is."""
        return (RECORD, leaf.offset) if leaf.node < 0 else self.nodes[leaf.node].position(leaf.offset)

    def emit(self, code: Code) -> None:
        """Writes the instructions that fill the record and the scratch area."""
        for node in self.nodes:
            loaded = [r for r in node.ranges if self.cast and r.size <= LOADED]
            if loaded:
                self._load(code, node, loaded)
            for start, size, area, at in node.ranges:
                if not self.cast or size > LOADED:
                    self._address(code, node)
                    code.add(R3, start)
                    code.mov(R1, area)
                    code.add(R1, at)
                    code.set(R2, size)
                    code.call(bpf.FUNC_PROBE_READ_KERNEL)

    def _load(self, code: Code, node: Node, ranges: Iterable[Range]) -> None:
        """Word by word; an address that cannot be read gives zeros."""
        self._address(code, node)
        code.mov(R1, R3)
        code.set(R2, 0)
        code.kernel_call(self.cast)
        for start, size, area, at in ranges:
            for more in range(0, size, 8):
                code.load(8, R1, R0, start + more)
                code.store(8, area, at + more, R1)

    def _address(self, code: Code, node: Node) -> None:
        """The address of the structure to R3."""
        if node.parent < 0:
            code.mov(R3, node.pointer)
        else:
            code.load(8, R3, *self.nodes[node.parent].position(node.pointer))
        if node.index:
            leaf, shift, stride = node.index
            code.load(4, R4, *self.position(leaf))
            code.op(bpf.RSH_K, R4, imm=shift)
            code.op(bpf.MUL_K, R4, imm=stride)
            code.op(bpf.ADD_X, R3, R4)
        code.add(R3, node.adjust)


def _coalesced(wanted: Mapping[int, int], gap: int) -> Iterable[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for offset in sorted(wanted):
        end, offset = offset + wanted[offset], offset & ~7
        if ranges and offset - ranges[-1][1] <= gap:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((offset, end))
    return ranges
