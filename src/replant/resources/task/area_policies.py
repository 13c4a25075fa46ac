"""On which NUMA nodes the memory of single areas is to be, mbind(2).

Looked at only where the host has several nodes: with one node it makes no difference. Pages that are there already are
moved to where the policy wants them.
"""

from __future__ import annotations

import struct

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.observe.procfs import Mapping
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("memory",)
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_NODES = 1024  # as many as a kernel can have (MAX_NUMNODES)
_MPOL_F_ADDR = 2
_MPOL_MF_MOVE = 2
_POSSIBLE = "/sys/devices/system/node/possible"


class Area(Frozen):
    """``mode`` with its flags as in mbind(2); ``nodes`` is a mask, node 0 in the lowest bit of byte 0."""

    start: int
    end: int
    mode: int
    nodes: bytes


class State(Frozen):
    """All areas that have a policy of their own, in order of address."""

    areas: tuple[Area, ...]


_nodes: list[bytes] = []


def several_nodes() -> bool:
    """Whether this host can have more than one node."""
    if not _nodes:
        try:
            with open(_POSSIBLE, "rb") as file:
                _nodes.append(file.read().strip())
        except FileNotFoundError:  # a kernel without NUMA
            _nodes.append(b"0")
    return _nodes[0] != b"0"


def ask(t: TaskFacts) -> list[Call]:
    """The policy of every mapping that is not the kernel's."""
    if not several_nodes():
        return []
    return [
        Call(nr.get_mempolicy, Out(4), Out(_NODES // 8), _NODES, m.start, _MPOL_F_ADDR, why="policy of an area")
        for m in _areas(t)
    ]


def _areas(t: TaskFacts) -> list[Mapping]:
    return [m for m in t.mappings if not m.path.startswith(("[v", "[uprobes"))]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: no area has one of its own."""
    found = []
    for m, answer in zip(_areas(t) if answers else (), answers, strict=True):
        mode, nodes = struct.unpack("=I", answer.outs[0])[0], answer.outs[1].rstrip(b"\0")
        if mode:
            found.append(Area(m.start, m.end, mode, nodes))
    return State(tuple(found)) if found else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Give each its own; the kernel takes one node less than it is told."""
    for area in state.areas:
        nodes, count = (area.nodes.ljust(_NODES // 8, b"\0"), _NODES + 1) if area.nodes else (0, 0)
        where = (area.start, area.end - area.start)
        on.call(nr.mbind, *where, area.mode, nodes, count, _MPOL_MF_MOVE, why="policy of an area")
