"""What a thread can have that nobody here keeps: found by asking, and refused by name.

Each is a row: the call, the answer that means there is none, and the words. A kernel that does not know the call has
none of it.
"""

from __future__ import annotations

from errno import EACCES, EINVAL, ENODEV, ENOKEY, ENOSYS, EOPNOTSUPP, EPERM

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall_raw
from replant.abi.prctl import (
    ARCH_GET_UNTAG_MASK,
    ARCH_SHSTK_STATUS,
    PR_SCHED_CORE,
    PR_SCHED_CORE_GET,
)
from replant.errors import Blocker, Bug
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()

_NONE = (EACCES, EINVAL, ENODEV, ENOKEY, ENOSYS, EOPNOTSUPP, EPERM)
_KEYCTL_GET_KEYRING_ID = 0
_THREAD_KEYRING, _PROCESS_KEYRING = -1, -2
_READ_LDT = 0


def _fields() -> Iterator[str]:
    """What tells threads apart; what this kernel does not have, none of them can have."""
    yield "cred_key"  # with the keyrings of thread and process; table and tags are those of the address space
    if syscall_raw(nr.arch_prctl, ARCH_SHSTK_STATUS, bytearray(8)) != -EINVAL:
        yield "thread_features"
    if syscall_raw(nr.prctl, PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, 0, bytearray(8)) != -EINVAL:
        yield "core_cookie"


LIKE = tuple(_fields())


def _any_bit(answer: Answer) -> bool:
    return any(answer.outs[0])


def _a_cleared_bit(answer: Answer) -> bool:
    return answer.outs[0] != b"\xff" * 8


def _a_number(answer: Answer) -> bool:
    return answer.ret > 0


def _ask(number: int, *args: int | Out) -> Call:
    return Call(number, *args, why="is it there, it would be refused", ok=_NONE)


_ROWS: tuple[tuple[Call, Callable[[Answer], bool], str, str], ...] = (
    (_ask(nr.arch_prctl, ARCH_SHSTK_STATUS, Out(8)), _any_bit, "shadow-stack", "a shadow stack"),
    (_ask(nr.arch_prctl, ARCH_GET_UNTAG_MASK, Out(8)), _a_cleared_bit, "address-tags", "tagged addresses (LAM)"),
    (_ask(nr.modify_ldt, _READ_LDT, Out(16), 16), _a_number, "ldt", "a local descriptor table"),
    (_ask(nr.prctl, PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, 0, Out(8)), _any_bit, "core-cookie", "a core cookie"),
    (_ask(nr.keyctl, _KEYCTL_GET_KEYRING_ID, _THREAD_KEYRING, 0), _a_number, "keyring", "a thread keyring"),
    (_ask(nr.keyctl, _KEYCTL_GET_KEYRING_ID, _PROCESS_KEYRING, 0), _a_number, "keyring", "a process keyring"),
)
ASKS = tuple([row[0] for row in _ROWS])


class State(Frozen):
    """There is none: what would be kept is refused."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> None:
    """None: it has none of it.

    :raises Blocker: it has, naming all.
    """
    found = [row for row, a in zip(_ROWS, answers, strict=True) if not -4096 < a.ret < 0 and row[1](a)]
    if found:
        names = ", ".join(row[3] for row in found)
        raise Blocker(
            f"it has {names}, which cannot be kept",
            code=found[0][2],
            pid=t.tid,
            resource=names,
            hint="run the program without it",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Never called: no State is ever kept."""
    raise Bug("an unsupported attribute in an image", pid=tid)
