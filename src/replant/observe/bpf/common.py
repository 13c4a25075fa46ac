"""What many records have in common, written once: an entry, whose number each of its records holds.

Ten thousand mappings differ in their addresses; protection, flags and file are those of a few dozen. So the program
compares before it writes, and Python decodes an entry once, not each record. A table of the entries met last, by hash,
decides; an entry that has been pushed out of it is written again, which costs time and no truth.

    0 number of entries u64 | 64 table: number of an entry and 1, u32 each | entries, a word (8 bytes) a value

The words of an entry are columns of the record's objects, or what an operator makes of two:

    A if B          A where B is not 0, else 0          A unless B      the other way round
    A < B, A <= B   1 or 0, unsigned                    A bit B         bit B (modulo 64) of A
    some A          1 where A is not 0
"""

from __future__ import annotations

from ...abi import bpf
from ..record import Record
from . import calls
from .asm import R0, R1, R2, R3, R4, R5, Code
from .chain import Leaf
from .records import Records, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .plan import Plan

_TABLE_AT, _TABLE = 64, 4096
_FIRST = _TABLE_AT + _TABLE * 4
_MULTIPLY = 0x61C88647
_ALL = 256  # so many entries there is always room for
# what keeps a word from being 0: A in R0, B in R5
_CONDITIONS = {
    "if": (bpf.JNE_K, R5),
    "unless": (bpf.JEQ_K, R5),
    "some": (bpf.JNE_K, R0),
    "<": (bpf.JGT_X, R5, R0),
    "<=": (bpf.JGE_X, R5, R0),
}
_BINARY = ("if", "unless", "<=", "<", "bit")


class Word(Record):
    """A word of an entry: ``left`` from its byte ``skip`` on, or an operator's result."""

    operator: str
    left: Leaf
    right: Leaf
    skip: int


def words_of(expression: str, leaf: Callable[[str], Leaf]) -> Sequence[Word]:
    """The words of a column; ``leaf`` finds the value at the end of a chain."""
    if expression.startswith("some "):
        value = leaf(expression.removeprefix("some "))
        return [Word("some", value, value, 0)]
    for operator in _BINARY:
        left, found, right = expression.partition(f" {operator} ")
        if found:
            return [Word(operator, leaf(left), leaf(right), 0)]
    value = leaf(expression)
    return [Word("", value, value, skip) for skip in range(0, size_of(value.code), 8)]


class Common:
    """The entries of one iterator."""

    def __init__(self, plan: Plan, capacity: int) -> None:
        self.words = plan.words
        self.position = plan.position
        self.spots = plan.entry_spots
        self.size = max(8, len(plan.words) * 8)
        self.capacity = max(capacity, _ALL)
        self.memory = calls.Memory(_FIRST + self.capacity * self.size)

    def clear(self) -> None:
        """Before a scan: no entries, nothing remembered."""
        self.memory.view[:_FIRST] = bytes(_FIRST)

    def found(self) -> int:
        """Entries of the last scan; those beyond the capacity were not written."""
        return int.from_bytes(self.memory.view[:8], "little")

    def entries(self) -> Records:
        """The entries of the last scan."""
        return Records(self.memory.view, _FIRST, self.found(), self.size, self.spots)

    def emit(self, code: Code, record: int, at: int, known: str) -> None:
        """Stores the number of the record's entry at its offset ``at``; goes on behind only when the entry is new.

        Else to the label ``known``. The entry is made where the next new one belongs, and compared there.
        """
        code.map_value(R2, self.memory.handle.fd)
        code.load(8, R1, R2)
        code.jump("entries full", bpf.JGE_K, R1, imm=self.capacity)
        self._entry(code, R2, R1)
        self._fill(code)
        self._look_up(code, record, at)
        self._compare(code, known)
        code.label("entries full")
        code.add(R1, 1)
        code.map_value(R2, self.memory.handle.fd)
        code.store(8, R2, 0, R1)
        code.jump(known)
        code.label("new entry")
        code.store(8, record, at, R1)
        code.add(R1, 1)
        code.store(4, R5, 0, R1)
        code.map_value(R2, self.memory.handle.fd)
        code.store(8, R2, 0, R1)

    def _entry(self, code: Code, register: int, number: int) -> None:
        """The address of an entry, by its number in another register."""
        code.map_value(register, self.memory.handle.fd, _FIRST)
        code.mov(R3, number)
        code.op(bpf.MUL_K, R3, imm=self.size)
        code.op(bpf.ADD_X, register, R3)

    def _fill(self, code: Code) -> None:
        """The words to the entry at R2, their hash to R3."""
        code.set(R3, 0)
        for number, word in enumerate(self.words):
            self._value(code, word, f"word {number}")
            code.store(8, R2, number * 8, R4)
            code.op(bpf.XOR_X, R3, R4)
            code.op(bpf.MUL_K, R3, imm=_MULTIPLY)
        code.mov(R4, R3)
        code.op(bpf.RSH_K, R4, imm=29)
        code.op(bpf.XOR_X, R3, R4)
        code.op(bpf.MUL_K, R3, imm=_MULTIPLY)
        code.op(bpf.RSH_K, R3, imm=40)
        code.op(bpf.AND_K, R3, imm=_TABLE - 1)
        code.op(bpf.LSH_K, R3, imm=2)

    def _value(self, code: Code, word: Word, end: str) -> None:
        """A word to R4; R5 and R0 are free."""
        area, at = self.position(word.left)
        code.load(min(8, size_of(word.left.code)), R4, area, at + word.skip)
        if not word.operator:
            return
        area, at = self.position(word.right)
        code.load(min(8, size_of(word.right.code)), R5, area, at)
        if word.operator == "bit":
            code.op(bpf.RSH_X, R4, R5)
            code.op(bpf.AND_K, R4, imm=1)
            return
        code.mov(R0, R4)
        if word.operator not in ("if", "unless"):
            code.set(R4, 1)
        code.jump(end, *_CONDITIONS[word.operator])
        code.set(R4, 0)
        code.label(end)

    def _look_up(self, code: Code, record: int, at: int) -> None:
        """What the table has for the hash in R3: its place to R5; the entry to R0 unless there is none."""
        code.map_value(R5, self.memory.handle.fd, _TABLE_AT)
        code.op(bpf.ADD_X, R5, R3)
        code.load(4, R4, R5)
        code.jump("new entry", bpf.JEQ_K, R4)
        code.add(R4, -1)
        code.jump("new entry", bpf.JGE_K, R4, imm=self.capacity)
        code.store(8, record, at, R4)
        self._entry(code, R0, R4)

    def _compare(self, code: Code, known: str) -> None:
        """Word by word: the entries at R0 and R2."""
        for number in range(len(self.words)):
            code.load(8, R3, R0, number * 8)
            code.load(8, R4, R2, number * 8)
            code.jump("new entry", bpf.JNE_X, R3, R4)
        code.jump(known)
