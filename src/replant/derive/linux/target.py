"""The tree to be derived: read, checked for what no process tree can be, and numbered.

A task is ``pid, ppid, pgid, sid, state, subreaper``. The checks here need no search: each refusal names the tasks
between which the contradiction lies.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    TaskLike = Any  # a mapping, or an object with attributes of the same names

_KEYS = frozenset({"pid", "ppid", "pgid", "sid", "state", "subreaper"})
_DEAD = {state: state in "ZX" for state in "RSDTtIZX"}  # proc_pid_stat(5)
PID_MAX = 1 << 22  # include/linux/threads.h: PID_MAX_LIMIT


class Outside:
    """What exists before the first operation: the creator, and the groups of its session that can be joined.

    ``pid`` is the number under which it acts in the operations. Orphans fall to it: it is the init of a pid namespace,
    or a restorer that made itself a subreaper. ``groups`` are other process groups of its session. With ``adopts``,
    a parent that is not part of the tree is taken to be the creator.
    """

    __slots__ = ("adopts", "groups", "pgid", "pid", "sid")

    def __init__(
        self, pid: int = 1, pgid: int = 1, sid: int = 1, groups: Collection[int] = (), *, adopts: bool = True
    ) -> None:
        self.pid = pid
        self.pgid = pgid
        self.sid = sid
        self.groups = frozenset(groups)
        self.adopts = adopts


class Impossible(Exception):
    """No sequence of operations exists; ``core`` are the pids between which the contradiction lies."""

    def __init__(self, why: str, core: Collection[int]) -> None:
        super().__init__(why)
        self.why = why
        self.core = sorted(set(core))


class Target:
    """The tree as parallel lists; index 0 is the outside, 1..``count`` the tasks, then the sessions without leader.

    ``parent`` and ``session`` hold indices, ``pid`` and ``pgid`` numbers. ``session[i] == i`` for session leaders.
    """

    __slots__ = ("count", "index", "outside", "parent", "pgid", "pid", "session", "subreaper", "zombie")

    def __init__(self, tasks: Iterable[TaskLike], outside: Outside | None = None) -> None:
        self.outside = outside or Outside(adopts=False)
        self.pid = [self.outside.pid]
        self.pgid = [self.outside.pgid]
        self.session = [self.outside.sid]
        self.parent = [0]
        self.zombie = bytearray(1)
        self.subreaper = bytearray(1)
        self._read(tasks)
        self.count = len(self.pid) - 1
        self._link_parents()
        self._link_sessions()
        self._check_groups()

    def _read(self, tasks: Iterable[TaskLike]) -> None:
        """Append every task; ``parent`` and ``session`` hold numbers until they are linked."""
        self.index: dict[int, int] = {self.outside.pid: 0}
        for task in tasks:
            pid, ppid, pgid, sid, dead, subreaper = _fields(task)
            if pid == self.outside.pid:
                self._read_outside(ppid, pgid, sid, dead, subreaper)
                continue
            if pid in self.index:
                raise Impossible(f"pid {pid} is given twice", [pid])
            self.index[pid] = len(self.pid)
            self.pid.append(pid)
            self.parent.append(ppid)
            self.pgid.append(pgid)
            self.session.append(sid)
            self.zombie.append(dead)
            self.subreaper.append(subreaper)

    def _read_outside(self, ppid: int, pgid: int, sid: int, dead: bool, subreaper: bool) -> None:
        """The init may be described, with numbers of its own: it exists before and cannot be changed or dead."""
        if dead:
            raise Impossible(f"pid {self.outside.pid} is the init: nothing outlives it", [self.outside.pid])
        if ppid != 0 and not self.outside.adopts:
            raise Impossible(f"pid {self.outside.pid} is the init and has no parent", [self.outside.pid])
        self.pgid[0], self.session[0] = pgid, sid
        self.subreaper[0] = subreaper

    def _link_parents(self) -> None:
        index, zombie, parent = self.index, self.zombie, self.parent
        adopts = self.outside.adopts
        for i in range(1, self.count + 1):
            over = index.get(parent[i])
            if over is None:
                if not adopts:
                    raise Impossible(f"task {self.pid[i]}: its parent {parent[i]} does not exist", [self.pid[i]])
                over = 0
            if zombie[over]:
                pids = [self.pid[i], self.pid[over]]
                raise Impossible(f"task {pids[0]}: its parent {pids[1]} is dead, and the dead have no children", pids)
            parent[i] = over
        self._check_rooted()

    def _check_rooted(self) -> None:
        """Parents must lead to the outside; a ring of them hangs in the air."""
        parent = self.parent
        state = bytearray(self.count + 1)  # 1: on the way, 2: leads outside
        state[0] = 2
        for i in range(1, self.count + 1):
            way = []
            while not state[i]:
                state[i] = 1
                way.append(i)
                i = parent[i]
            if state[i] == 1:
                ring = [self.pid[j] for j in way[way.index(i) :]]
                raise Impossible("these tasks are each other's parents: none can have come first", ring)
            for j in way:
                state[j] = 2

    def _link_sessions(self) -> None:
        """Session numbers become the indices of their leaders; a leader that is gone gets an index past the tasks."""
        sids, index = self.session, self.index
        outer = sids[0]
        sids[0] = 0
        for i in range(1, self.count + 1):
            sid = sids[i]
            if sid == outer:
                sids[i] = 0
                continue
            leader = index.get(sid)
            if leader is None:
                leader = self._revive(i, sid)
            elif leader == 0 or sids[leader] != (leader if leader < i or leader > self.count else sid):
                pids = [self.pid[i], sid]
                raise Impossible(f"task {pids[0]} is in session {sid}, but task {sid} does not lead it", pids)
            sids[i] = leader

    def _revive(self, member: int, sid: int) -> int:
        """Give the dead leader of session ``sid`` an index."""
        if not 0 < sid < PID_MAX:
            raise Impossible(
                f"task {self.pid[member]}: session {sid} lies outside the pid namespace and can only be inherited; "
                "the creator is not in it",
                [self.pid[member]],
            )
        leader = self.index[sid] = len(self.pid)
        self.pid.append(sid)
        self.pgid.append(sid)
        self.session.append(leader)
        self.parent.append(-1)
        self.zombie.append(1)
        self.subreaper.append(0)
        return leader

    def _check_groups(self) -> None:
        """A group lies in one session, its leader's; a session leader is in its own group."""
        pgid, session, index = self.pgid, self.session, self.index
        seen: dict[int, int] = {}
        for i in range(1, self.count + 1):
            group, home = pgid[i], session[i]
            if home == i and group != self.pid[i]:
                raise Impossible(f"task {self.pid[i]} leads its session but is in group {group}", [self.pid[i]])
            leader = index.get(group, -1)
            if leader == 0 and group != pgid[0]:
                leader = -1
            first = leader if leader >= 0 else seen.setdefault(group, i)
            if first == i:
                if leader < 0:
                    self._check_foreign(i, group, home)
            elif first >= 0 and session[first] != home:
                raise Impossible(_two_sessions(self.pid[i], group), [self.pid[i], self.pid[first]])

    def _check_foreign(self, i: int, group: int, home: int) -> None:
        """A group whose leader is not part of the tree: the creator's, one that can be joined, or one to be made."""
        known = group == self.pgid[0] or group in self.outside.groups
        if known and home != 0:
            raise Impossible(_two_sessions(self.pid[i], group), [self.pid[i]])
        if not known and not 0 < group < PID_MAX:
            raise Impossible(
                f"task {self.pid[i]}: group {group} lies outside the pid namespace and can only be inherited; "
                "the creator is not in it",
                [self.pid[i]],
            )


def _two_sessions(pid: int, group: int) -> str:
    return f"task {pid} is in group {group} of another session: a group lies in one session"


def _fields(task: TaskLike) -> tuple[int, int, int, int, bool, bool]:
    """The six values of a task given as a mapping or as an object with attributes."""
    if not isinstance(task, dict):
        return (
            task.pid,
            task.ppid,
            task.pgid,
            task.sid,
            _DEAD[getattr(task, "state", "S")],
            bool(getattr(task, "subreaper", False)),
        )
    if not task.keys() <= _KEYS:
        refuse_keys(task, _KEYS)
    try:
        pid, ppid, pgid, sid = task["pid"], task["ppid"], task["pgid"], task["sid"]
        dead, subreaper = _DEAD[task.get("state", "S")], task.get("subreaper", False)
        if pid.__class__ is ppid.__class__ is pgid.__class__ is sid.__class__ is int and pid > 0 <= ppid:
            return pid, ppid, pgid, sid, dead, bool(subreaper)
    except (KeyError, TypeError):
        pass
    raise bad_task(task)


def refuse_keys(mapping: Mapping[str, object], known: Collection[str]) -> None:
    """Refuse what is not understood, by name.

    :raises UsageError: if ``mapping`` has other keys than ``known``.
    """
    from ...errors import UsageError

    extra = ", ".join(sorted(repr(key) for key in mapping.keys() - set(known)))
    if extra:
        raise UsageError(f"unknown key {extra}", code="unknown-key", hint=f"known keys: {', '.join(sorted(known))}")


def bad_task(task: object) -> Exception:
    """The error for a task whose values are missing or no numbers."""
    from ...errors import UsageError

    return UsageError(
        f"not a task: {task!r}",
        code="bad-task",
        hint='a task is {"pid": 10, "ppid": 1, "pgid": 10, "sid": 10, "state": "S"}',
    )
