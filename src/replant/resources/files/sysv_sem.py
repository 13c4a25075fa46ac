"""System V semaphores, semget(2): a set with number, key, owner, mode, values, and who changed each of them last.

Nothing but a number in its memory joins a process with a set; so a set is the tree's by what the kernel remembers of
its users (`shared.sysv`). Changes that a process wants undone at its end are `task.semaphore_undo`'s. A process that
waits in semop(2) is not in the set: it enters the call again. Times are new.
"""

from __future__ import annotations

import struct

from replant.abi import ipc, x86_64
from replant.abi.libc import syscall
from replant.model.frozen import Frozen
from replant.resources.shared import sysv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, RestoreSide

VERSION = 1
SEEKABLE = False
DESCRIPTOR = False


class State(Frozen):
    """``pids``: who changed each semaphore last, 0 for nobody, or for somebody outside of the tree."""

    object: sysv.Object
    values: tuple[int, ...]
    pids: tuple[int, ...]


def standing(dump: DumpSide, known: Sequence[File]) -> Iterable[State]:
    """The sets of the tree. :raises Blocker: others use one too."""
    for row in sysv.table("sem"):
        users = [_ask(row["id"], n, ipc.GETPID) for n in range(row["nsems"])]
        if sysv.belongs(row, users, dump):
            yield _state(row, users, dump)


def _state(row: sysv.Row, users: Sequence[int], dump: DumpSide) -> State:
    others = sysv.strangers(users, dump)
    outside = bool(others) and sysv.alone(_name(row["id"]), f"process {others[0]}", dump)
    values = bytearray(2 * row["nsems"])
    syscall(x86_64.semctl, row["id"], 0, ipc.GETALL, values)
    pids = tuple([pid if pid in dump.pids() else 0 for pid in users])
    return State(sysv.common(row, outside), struct.unpack(f"={row['nsems']}H", values), pids)


def _ask(number: int, semaphore: int, what: int) -> int:
    return syscall(x86_64.semctl, number, semaphore, what, 0)


def _name(number: int) -> str:
    return f"semaphore set {number}"


def _state_of(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def group(file: File) -> object:
    """Each is one by itself."""
    return _state_of(file).object.id


def check(file: File) -> None:
    """:raises Blocker: its number or its key is taken, or it has gone and others used it too."""
    state = _state_of(file)
    own, count = state.object, len(state.values)
    sysv.check(_name(own.id), "sem", own, lambda row: row["nsems"] != count or _waited_for(row))


def _waited_for(row: sysv.Row) -> bool:
    asked = [(n, what) for n in range(row["nsems"]) for what in (ipc.GETNCNT, ipc.GETZCNT)]
    return any(_ask(row["id"], n, what) for n, what in asked)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Make it, and set each value by a process of the number that set it last."""
    numbers = []
    for file in files:
        state = _state_of(file)
        numbers.append(state.object.id)
        if not state.object.outside:
            _make(state, on, restore)
    return numbers


def _make(state: State, on: Track, restore: RestoreSide) -> None:
    own = state.object
    sysv.prepare("sem", own, x86_64.semctl, on)
    maker = restore.stand_in(on, 0, own.cuid, own.cgid)
    how = ipc.IPC_CREAT | ipc.IPC_EXCL | own.mode & 0o777
    made = maker.call(x86_64.semget, own.key, len(state.values), how, why="semaphores", gives=own.id)
    sysv.made(made, maker, x86_64.semctl)
    for pid in sorted(set(state.pids)):
        setter = restore.stand_in(on, pid, 0, 0) if pid else on
        for n, (value, last) in enumerate(zip(state.values, state.pids, strict=True)):
            if last == pid and (value or pid):
                setter.call(x86_64.semctl, own.id, n, ipc.SETVAL, value, why="value")
    owner = bytes(ipc.pack_owner(ipc.SEMID_DS, own.uid, own.gid, own.mode))
    on.call(x86_64.semctl, own.id, 0, ipc.IPC_SET, owner, why="owner")
