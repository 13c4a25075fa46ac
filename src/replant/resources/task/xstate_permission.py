"""Leave to use large extended state (AMX tiles), which a process has asked the kernel for: arch_prctl(2).

It is one of the whole process and cannot be given back. Its threads have the state itself among their registers.
"""

from __future__ import annotations

from errno import EINVAL

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall_raw
from replant.abi.prctl import ARCH_GET_XCOMP_PERM, ARCH_GET_XCOMP_SUPP, ARCH_REQ_XCOMP_PERM
from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS = (Call(nr.arch_prctl, ARCH_GET_XCOMP_PERM, Out(8), why="leave for extended state", ok=(EINVAL,)),)

_ON_REQUEST = {18: "AMX tile data"}  # component of XSAVE: its name


class State(Frozen):
    """The components of XSAVE that have been asked for, as a mask."""

    components: int


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: nothing has been asked for, as after exec."""
    given = int.from_bytes(answers[0].outs[0], "little") if answers[0].ret == 0 else 0
    asked = given & sum(1 << number for number in _ON_REQUEST)
    return State(asked) if asked else None


def check(state: State, tid: int) -> None:
    """Look what this CPU has.

    :raises Blocker: it lacks a component.
    """
    supported = bytearray(8)
    syscall_raw(nr.arch_prctl, ARCH_GET_XCOMP_SUPP, supported)
    missing = state.components & ~int.from_bytes(supported, "little")
    if missing:
        names = ", ".join(name for number, name in _ON_REQUEST.items() if missing >> number & 1)
        raise Blocker(
            f"process {tid} uses {names}, which this CPU or kernel lacks",
            code="cpu-feature",
            pid=tid,
            resource=names,
            hint="restore it on a host whose CPU has it",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Ask for the same."""
    for number, name in _ON_REQUEST.items():
        if state.components >> number & 1:
            on.call(nr.arch_prctl, ARCH_REQ_XCOMP_PERM, number, why=f"leave to use {name}")
