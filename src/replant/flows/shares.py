"""Descriptor tables and filesystem attributes that several processes share: found at dump, shared again from birth.

Sharing is inherited by clone(2) (CLONE_FILES, CLONE_FS), and given up by unshare(2). So everybody on the way between
two sharers, as the tree is grown, is born sharing, and whoever is no sharer gives it up once all are born, before
anything is changed in a table. One of the sharers, the first, then makes what they share.
"""

from __future__ import annotations

from replant.abi import kcmp
from replant.errors import Blocker
from replant.observe.sharing import task_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from replant.flows.alike import Told
    from replant.model.tree import Model, Task

CLONE_FS, CLONE_FILES = 0x200, 0x400


class Shared:
    """A thing that processes share: the field of `Task` that names the first sharer, how it is asked for and cloned."""

    __slots__ = ("field", "flag", "key", "kind", "what")

    def __init__(self, field: str, key: str, kind: int, flag: int, what: str) -> None:
        self.field, self.key, self.kind, self.flag, self.what = field, key, kind, flag, what


SHARED = (
    Shared("files_of", "files_key", kcmp.FILES, CLONE_FILES, "descriptor table"),
    Shared("fs_of", "fs_key", kcmp.FS, CLONE_FS, "current directory, root and umask"),
)


def first_sharers(shared: Shared, pids: Sequence[int], told: Told) -> dict[int, int]:
    """For each process that shares with an earlier one of ``pids`` the first with which it does."""
    first: dict[object, int] = {}
    known = [told(pid, (shared.key,)) for pid in pids]
    keys: Sequence[object] = task_keys(shared.key, pids) if None in known else known
    found = {pid: first.setdefault(key, pid) for pid, key in zip(pids, keys, strict=True)}
    return {pid: other for pid, other in found.items() if other != pid}


def with_another_root(tasks: Sequence[Task]) -> Iterator[Blocker]:
    """Processes that share a root directory that is not ours: it would change while others still need ours."""
    sharers = {t.fs_of for t in tasks} - {0}
    for task in tasks:
        if task.root >= 0 and (task.fs_of or task.pid in sharers):
            yield Blocker(
                f"process {task.pid} shares its root directory, which is not that of the host, with another process",
                code="shared-root",
                pid=task.pid,
                resource=f"task {task.pid}",
                hint="run replant inside of that root directory (chroot(8))",
            )


class Births:
    """Who is born sharing, by the operations of a derivation: ``flags`` of clones, and ``leaving`` of unshare, by pid.

    ``makers``: who forks whom, in order of birth.

    :raises Blocker: two things of a sort would have to be shared by one process on the way.
    """

    def __init__(self, model: Model, ops: Sequence[Any]) -> None:
        self.flags: dict[int, int] = {}
        self.leaving: dict[int, int] = {}
        self._tasks = {t.pid: t for t in model.tasks if t.state != "Z"}
        self.makers = {op[2]: op[0] for op in ops if op[1] in ("fork", "fork_sibling")}
        for shared in SHARED:
            self._share(shared, self.makers)

    def _share(self, shared: Shared, makers: dict[int, int]) -> None:
        owner: dict[int, int] = {}
        for first, sharers in self._groups(shared):
            for pid in _way(sharers, makers):
                if owner.setdefault(pid, first) != first:
                    raise _blocker(shared, self._tasks[first], pid)
        for pid, first in owner.items():
            if makers.get(pid) in owner and owner[makers[pid]] == first:
                self.flags[pid] = self.flags.get(pid, 0) | shared.flag
            task = self._tasks.get(pid)
            if task and (getattr(task, shared.field) or pid) != first:
                self.leaving[pid] = self.leaving.get(pid, 0) | shared.flag

    def _groups(self, shared: Shared) -> Iterator[tuple[int, list[int]]]:
        groups: dict[int, list[int]] = {}
        for task in self._tasks.values():
            first = getattr(task, shared.field)
            if first:
                groups.setdefault(first, [first]).append(task.pid)
        return iter(groups.items())


def _way(pids: Sequence[int], makers: dict[int, int]) -> set[int]:
    """Those of ``pids``, and everybody between them and the one that has made them all (it included)."""
    lines = [_line(pid, makers) for pid in pids]
    common = set(lines[0]).intersection(*lines[1:])
    top = next(pid for pid in lines[0] if pid in common)
    return {pid for line in lines for pid in line[: line.index(top) + 1]}


def _line(pid: int, makers: dict[int, int]) -> list[int]:
    """A process and its makers, up to the outside."""
    line = [pid]
    while line[-1] in makers:
        line.append(makers[line[-1]])
    return line


def _blocker(shared: Shared, task: Task, between: int) -> Blocker:
    return Blocker(
        f"process {task.pid} shares its {shared.what} across process {between}, which others share across as well",
        code="shared",
        pid=task.pid,
        resource=f"task {task.pid}",
        hint="end one of them before the dump; there is no order of births for both",
    )
