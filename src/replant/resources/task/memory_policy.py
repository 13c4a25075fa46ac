"""On which NUMA nodes the memory of a thread is to be, set_mempolicy(2)."""

from __future__ import annotations

from errno import ENOSYS

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall_raw
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS = ("clone",)
SETS: tuple[str, ...] = ()

_NODES = 1024  # as many as a kernel can have (MAX_NUMNODES)
_ROOM = Out(_NODES // 8)
_DEFAULT = (0, 0, 0, 0, 0)
LIKE = ("mempolicy_key",) if syscall_raw(nr.get_mempolicy, *_DEFAULT) != -ENOSYS else ()
ASKS = (Call(nr.get_mempolicy, Out(4), _ROOM, _NODES, 0, 0, why="memory policy", ok=(ENOSYS,)),)


class State(Frozen):
    """``mode`` with its flags as in set_mempolicy(2); ``nodes`` is a mask, node 0 in the lowest bit of byte 0."""

    mode: int
    nodes: bytes


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """Kept where the kernel has NUMA: a clone has that of its cloner. None: a kernel without."""
    if answers[0].ret < 0:
        return None
    mode, nodes = answers[0].outs
    return State(int.from_bytes(mode, "little"), nodes.rstrip(b"\0"))


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set it; a kernel without NUMA has the default."""
    default = not state.mode
    # the kernel takes one node less than it is told
    nodes, count = (0, 0) if default else (state.nodes.ljust(_NODES // 8, b"\0"), _NODES + 1)
    on.call(nr.set_mempolicy, state.mode, nodes, count, why="memory policy", ok=(ENOSYS,) if default else ())
