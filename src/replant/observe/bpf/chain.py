"""Chains: where a value is, written like the C expression that leads to it.

A chain reads like the C expression it stands for, from one of the iterator's objects:

    task->signal->rlim              an array, as bytes
    file->f_path.mnt->(mount mnt)mnt_id   container_of: the pointer is to the member ``mnt`` of a ``mount``
    task->thread_pid->numbers[{level}].nr an index that another column of the same record holds, ``/64`` divides it
    task->cred->group_info->gid:128s      read as another type of the struct module than the declared one
    task->rseq | task->rseq'.usrptr       the first of these that the running kernel has
    0? task->pid | ...                    the first where the caller is in the initial pid namespace
    =0                                    a constant
"""

from __future__ import annotations

from ..record import Record
from .kernel import Member, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .plan import Plan

_BY_SIZE = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SIGNED = ("s8", "s16", "s32", "s64")


class Absent(Exception):
    """The running kernel has no such member."""


class Leaf(Record):
    """A value: where it is inside the structure of a node, its struct code and the shifts of a bit field."""

    node: int
    offset: int
    code: str
    shift: tuple[int, int]


class Walk:
    """A walk along one chain: the node and offset reached, and what is there."""

    def __init__(self, plan: Plan, node: int, structure: str) -> None:
        self.plan = plan
        self.node = node
        self.offset = 0
        self.structure = structure
        self.member: Member | None = None
        self.place = Place(0, 0, (0, 0))

    def step(self, step: str) -> None:
        """``>member``, ``.member``, with ``(container member)`` before and ``[index]`` behind."""
        arrow, rest = step[0] == ">", step[1:]
        container, adjust = "", 0
        if rest.startswith("("):
            container, _, rest = rest[1:].partition(")")
        if arrow and self.member:
            if container:
                self.structure, _, inner = container.partition(" ")
                adjust = -self._find(self.structure, inner).offset
            self.node = self.plan.child(self.node, self.offset, adjust, None)
            self.offset = 0
        name, bracket, index = rest.partition("[")
        self.place = self._find(self.structure, name)
        self.member = self.plan.structures[self.structure][name]
        self.offset += self.place.offset
        self.structure = self.member.type
        if bracket:
            self._index(index[:-1])

    def _index(self, index: str) -> None:
        assert self.member
        stride = 8 if self.member.pointer else self.plan.layout.sizes[self.member.type]
        self.place = Place(0, 8 if self.member.pointer else self.place.size, (0, 0))
        if not index.startswith("{"):
            self.offset += stride * (self.plan.level if index == "L" else int(index))
            return
        column, _, divide = index[1:].partition("}")
        leaf = self.plan.columns[column]
        # the array is a node of its own: its base is in the same structure, or behind a pointer to its elements
        if self.member.array:
            parent = self.plan.nodes[self.node]
            self.node = self.plan.child(parent.parent, parent.pointer, parent.adjust + self.offset, (leaf, 0, stride))
        else:
            self.node = self.plan.child(self.node, self.offset, 0, (leaf, 6 if divide == "/64" else 0, stride))
        self.offset = 0

    def _find(self, structure: str, member: str) -> Place:
        place = self.plan.layout.places.get((structure, member))
        if place is None:
            raise Absent(f"{structure}.{member}")
        return place

    def leaf(self, code: str) -> Leaf:
        """What the walk has come to, as a value; of its declared type, or as ``code``."""
        return Leaf(self.node, self.offset, code or self._code(), self.place.shift)

    def _code(self) -> str:
        assert self.member
        if self.member.pointer:
            return "Q"
        if self.member.array:
            return f"{self.place.size}s"
        code = _BY_SIZE[self.place.size]
        return code.lower() if self.member.type in _SIGNED else code
