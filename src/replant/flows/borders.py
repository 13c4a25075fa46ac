"""What reaches across the borders of a process or of the tree, and would be lost in silence: found, and refused.

The tree is restored in the namespaces of the restorer, sharing descriptor tables and filesystem attributes with nobody
outside. So a table shared with a process outside, a thread with a table of its own, and a process in another namespace
than ours are blockers, and so is a dead child that has left a core: its wait status cannot be made again without one.
"""

from __future__ import annotations

import os

from replant.abi import kcmp
from replant.errors import Blocker
from replant.flows.shares import SHARED, Shared
from replant.observe.sharing import same, task_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from replant.flows.alike import Told
    from replant.observe.procfs import Stat
    from replant.tracee.task import FrozenTask

_NAMESPACES = ("mnt", "net", "ipc", "uts", "pid", "user", "cgroup", "time", "pid_for_children", "time_for_children")
_WHERE = ("namespaces_key", "ns_pid_own", "ns_user")
_IO = ("io_key",)
#: of `replant.observe.facts.Task`; where they are told of all threads, nothing need be asked of each
FIELDS = (*_WHERE, *_IO, *[shared.key for shared in SHARED])
_CORE = 0x80  # of a wait status


def blockers(alive: Sequence[FrozenTask], stats: Mapping[int, Stat], told: Told) -> Iterator[Blocker]:
    """Everything of the kind in a frozen tree; ``told`` gives the values of fields of a thread, if they are known."""
    yield from _cores(stats)
    yield from _elsewhere(alive, told)
    yield from _io_sharers(alive, told)
    for task in alive:
        yield from _odd_threads(task, told)
    for shared in SHARED:
        if alive:
            yield from _outsider(alive[0].pid, stats[alive[0].pid].ppid, shared.kind, shared.what)


def _cores(stats: Mapping[int, Stat]) -> Iterator[Blocker]:
    for pid, s in stats.items():
        if s.state in "ZX" and s.exit_code & _CORE:
            yield _blocker(
                pid, "dead-with-core", f"task {pid} has died leaving a core, which its parent has yet to learn"
            )


def _elsewhere(alive: Sequence[FrozenTask], told: Told) -> Iterator[Blocker]:
    ours = _namespaces(os.getpid(), os.getpid())
    here = set()
    for task in alive:
        for thread in task.threads:
            where = told(thread.tid, _WHERE)
            if where in here:
                continue
            theirs = _namespaces(task.pid, thread.tid)
            if theirs == ours:
                here.update([where] if where else [])
            else:
                yield _foreign(thread.tid, [name for name, ino in ours.items() if theirs.get(name) != ino])


def _foreign(tid: int, names: Sequence[str]) -> Blocker:
    return Blocker(
        f"task {tid} is in namespaces of its own: {', '.join(names)}",
        code="namespace",
        pid=tid,
        resource=", ".join(names),
        hint="dump it from inside its namespaces (nsenter), all processes being in the same ones",
    )


def _namespaces(pid: int, tid: int) -> dict[str, int]:
    """Their inode numbers. One for children that is still without a first process is not there (namespaces(7))."""
    found = {}
    folder = os.open(f"/proc/{pid}/task/{tid}/ns", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in _NAMESPACES:
            try:
                found[name] = os.stat(name, dir_fd=folder).st_ino
            except FileNotFoundError:
                continue
    finally:
        os.close(folder)
    return found


def _io_sharers(alive: Sequence[FrozenTask], told: Told) -> Iterator[Blocker]:
    """Tasks cloned with CLONE_IO."""
    first: dict[object, int] = {}
    for tid, key in _io_contexts([thread.tid for task in alive for thread in task.threads], told):
        other = first.setdefault(key, tid)
        if other != tid:
            yield _blocker(tid, "shared", f"task {tid} shares its IO context with task {other}")


def _io_contexts(tids: Sequence[int], told: Told) -> Iterable[tuple[int, object]]:
    """Who has one. Most have none, as we have none, and for kcmp(2) what is nothing is the same."""
    keys = [told(tid, _IO) for tid in tids]
    if None not in keys:
        return [(tid, key) for tid, key in zip(tids, keys, strict=True) if key != (0,)]
    having = [tid for tid in tids if not same(kcmp.IO, tid, os.getpid())]
    return zip(having, task_keys("io_key", having), strict=True)


def _odd_threads(task: FrozenTask, told: Told) -> Iterator[Blocker]:
    for thread in task.threads[1:]:
        for shared in SHARED:
            if not _share(shared, task.pid, thread.tid, told):
                why = f"thread {thread.tid} does not share the {shared.what} of its process"
                yield _blocker(thread.tid, "unshared", why)


def _share(shared: Shared, tid: int, other: int, told: Told) -> bool:
    keys = told(tid, (shared.key,)), told(other, (shared.key,))
    return keys[0] == keys[1] if None not in keys else same(shared.kind, tid, other)


def _outsider(root: int, parent: int, kind: int, what: str) -> Iterator[Blocker]:
    if parent > 1 and same(kind, root, parent):
        yield _blocker(root, "shared", f"task {root} shares its {what} with task {parent}, which is not in the tree")


def _blocker(pid: int, code: str, message: str) -> Blocker:
    hint = "end it before the dump; sharing of that sort cannot be kept"
    if code == "dead-with-core":
        hint = "dump again once its parent has waited for it"
    return Blocker(message, code=code, pid=pid, resource=f"task {pid}", hint=hint)
