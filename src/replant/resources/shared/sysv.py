"""Objects of System V IPC: found in /proc/sysvipc, attributed to a tree, made again under their numbers.

Such an object belongs to nobody: it lives until somebody removes it, and whoever knows its number may use it. What the
kernel remembers are the processes that made it or used it last. So an object is the tree's if one of those is in the
tree and no other one is alive; it is shared if one outside of the tree is alive as well, and none of the tree's
business if only those are. Where nobody is left, it is the tree's if a user of the tree made it after the tree began.
"""

from __future__ import annotations

import os
import time

from replant.abi import fcntl, ipc, x86_64
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.observe import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from replant.abi.call import Slot, Track
    from replant.resources.protocol import DumpSide

    Row = dict[str, int]

_ENOENT, _EINVAL, _EIDRM = 2, 22, 43


class Object(Frozen):
    """What all three sorts have. ``outside``: somebody else uses it too, so it must be there at restore."""

    id: int
    key: int
    mode: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    outside: bool


def table(sort: str) -> list[Row]:
    """The rows of /proc/sysvipc/``sort`` of our IPC namespace, with the number as ``id``; modes are octal there."""
    try:
        with open(f"/proc/sysvipc/{sort}", encoding="ascii") as file:
            names, *lines = [line.split() for line in file]
    except FileNotFoundError:  # a kernel without
        return []
    names[1] = "id"
    return [{n: int(v, 8 if n == "perms" else 10) for n, v in zip(names, line, strict=True)} for line in lines]


def find(sort: str, number: int) -> Row | None:
    """The row of one object."""
    return next((row for row in table(sort) if row["id"] == number), None)


def common(row: Row, outside: bool) -> Object:
    """The part of a State that all sorts have."""
    owner = (row["uid"], row["gid"], row["cuid"], row["cgid"])
    return Object(row["id"], row["key"], row["perms"], *owner, outside)


def strangers(users: Iterable[int], dump: DumpSide) -> list[int]:
    """Those of the processes that are alive and not in the tree."""
    return sorted(pid for pid in set(users) - dump.pids() if pid and os.path.exists(f"/proc/{pid}"))


def belongs(row: Row, users: Iterable[int], dump: DumpSide) -> bool:
    """Whether an object is the tree's, or shared by it; ``users`` are the processes that the kernel remembers."""
    users = set(users)
    if users & dump.pids():
        return True
    return not strangers(users, dump) and _made_by(row, dump)


def _made_by(row: Row, dump: DumpSide) -> bool:
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in dump.pids()}
    began = min(procfs.stat(pid).starttime for pid in dump.pids()) / os.sysconf("SC_CLK_TCK")
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return row["cuid"] in owners and row["ctime"] >= int(boot + began)


def alone(what: str, others: str, dump: DumpSide) -> bool:
    """Whether the object stays as it is, because ``others`` use it too. :raises Blocker: unless the user wants that."""
    if dump.policy("ipc") == "leave":
        return True
    raise Blocker(
        f"{what} is used outside of the tree as well, by {others}",
        code="ipc-outside",
        pid=min(dump.pids()),
        resource=what,
        hint="dump with --ipc leave if it will still be there, with whatever they leave in it, at the restore",
    )


def check(what: str, sort: str, state: Object, busy: Callable[[Row], bool]) -> None:
    """At restore: is the number free, or has only the tree itself left the object there, and nobody uses it?

    :raises Blocker: it is taken, or its key is; or an object that others use is gone.
    """
    others = table(sort)
    row = next((row for row in others if row["id"] == state.id), None)
    if state.outside:
        if row is None or not same_object(state, row):
            raise _hinder(what, "others used it too, so it was not saved, and it is gone", "restore where it still is")
        return
    if row is not None and (busy(row) or not same_object(state, row)):
        raise _hinder(what, "something else that is in use has its number", "restore in another IPC namespace")
    if state.key and any(other["key"] == state.key and other["id"] != state.id for other in others):
        why = f"something else has its key {state.key:#x}"
        raise _hinder(what, why, "remove that (ipcrm(1)), or restore in another IPC namespace")


def same_object(state: Object, row: Row) -> bool:
    """Whether it is the very object: the kernel counts up the number each time that it is given away."""
    return (state.id, state.key, state.cuid, state.cgid) == (row["id"], row["key"], row["cuid"], row["cgid"])


def _hinder(what: str, why: str, hint: str) -> Blocker:
    return Blocker(f"{what}: {why}", code="ipc-taken", resource=what, hint=hint)


def prepare(sort: str, state: Object, remove: int, on: Track) -> None:
    """Calls of the restorer: what the tree itself has left is removed, and the next number will be the wanted one."""
    if find(sort, state.id) is not None:
        arguments = (0, ipc.IPC_RMID, 0) if remove == x86_64.semctl else (ipc.IPC_RMID, 0)
        on.call(remove, state.id, *arguments, why="left over by the tree itself", ok=(_EINVAL, _EIDRM))
    path = fcntl.cstring(f"/proc/sys/kernel/{sort}_next_id")
    fd = on.call(x86_64.openat, fcntl.AT_FDCWD, path, fcntl.O_WRONLY | fcntl.O_CLOEXEC, 0, why="its number")
    text = f"{state.id}\n".encode()
    on.call(x86_64.write, fd, text, len(text), why="its number")
    on.call(x86_64.close, fd)


def made(slot: Slot, on: Track, remove: int) -> None:
    """If the restore fails the object is removed again."""
    on.undo(slot, remove, slot, *((0,) if remove == x86_64.semctl else ()), ipc.IPC_RMID, 0)
