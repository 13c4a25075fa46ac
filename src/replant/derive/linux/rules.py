"""The process tree's rules: fork, CLONE_PARENT, setsid, setpgid, subreaper, exit, wait, as Linux checks them.

Sources: setsid(2), setpgid(2), clone(2), prctl(2), and kernel/fork.c, kernel/sys.c, kernel/exit.c, kernel/pid.c.
The differential test runs every rule, with every outcome, against the running kernel.
"""

from __future__ import annotations

from ..rules import Condition, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Tasks:
    """A pid namespace as far as its process tree goes; everything is keyed by pid.

    ``members`` counts the tasks, zombies too, of each group; ``sessions`` those of each session; ``homes`` is the
    session of each group. ``kids`` holds the children, zombies too, of tasks that have any. ``execed`` are the tasks
    that called execve since their birth. ``groups`` are further groups of the init's session, held from outside.
    """

    __slots__ = ("dead", "execed", "homes", "init", "kids", "members", "pgid", "ppid", "reapers", "sessions", "sid")

    def __init__(self, init: int = 1, pgid: int = 1, sid: int = 1, groups: Iterable[int] = ()) -> None:
        self.init = init
        self.ppid = {init: 0}
        self.pgid = {init: pgid}
        self.sid = {init: sid}
        self.members = {pgid: 1, **dict.fromkeys(groups, 1)}
        self.homes = dict.fromkeys(self.members, sid)
        self.sessions = {sid: 1}
        self.kids: dict[int, set[int]] = {}
        self.dead: set[int] = set()
        self.reapers: set[int] = set()
        self.execed: set[int] = set()

    def add(self, pid: int, ppid: int, pgid: int, sid: int) -> None:
        """A new task."""
        self.ppid[pid] = ppid
        self.pgid[pid] = pgid
        self.sid[pid] = sid
        self.members[pgid] += 1
        self.sessions[sid] += 1
        kids = self.kids.get(ppid)
        if kids is None:
            self.kids[ppid] = {pid}
        else:
            kids.add(pid)

    def move(self, pid: int, pgid: int) -> None:
        """Change the group of a task; a new group lies in the task's session."""
        if self.pgid[pid] == pgid:
            return
        if pgid in self.members:
            self.members[pgid] += 1
        else:
            self.members[pgid] = 1
            self.homes[pgid] = self.sid[pid]
        self._leave_group(pid)
        self.pgid[pid] = pgid

    def _leave_group(self, pid: int) -> None:
        pgid = self.pgid[pid]
        self.members[pgid] -= 1
        if not self.members[pgid]:
            del self.members[pgid], self.homes[pgid]

    def remove(self, pid: int) -> None:
        """A task that has been waited for."""
        ppid = self.ppid.pop(pid)
        self.kids[ppid].discard(pid)
        self._leave_group(pid)
        del self.pgid[pid]
        self.leave_session(pid)
        del self.sid[pid]
        self.dead.discard(pid)
        self.reapers.discard(pid)
        self.execed.discard(pid)

    def leave_session(self, pid: int) -> None:
        """Count one member less of a task's session."""
        sid = self.sid[pid]
        self.sessions[sid] -= 1
        if not self.sessions[sid]:
            del self.sessions[sid]

    def heir(self, pid: int) -> int:
        """Who gets the children of ``pid``: the nearest living subreaper above it, or init."""
        reapers = self.reapers
        if not reapers:
            return self.init
        pid = self.ppid[pid]
        while pid != self.init and (pid not in reapers or pid in self.dead):
            pid = self.ppid[pid]
        return pid

    def state(self) -> dict[int, tuple[int, int, int, bool, bool]]:
        """``ppid, pgid, sid, dead, subreaper`` of every task."""
        return {
            pid: (ppid, self.pgid[pid], self.sid[pid], pid in self.dead, pid in self.reapers)
            for pid, ppid in self.ppid.items()
        }


def _is_alive(tasks: Tasks, actor: int, *_: int) -> bool:
    return actor in tasks.pgid and actor not in tasks.dead


def _is_free(tasks: Tasks, _: int, pid: int) -> bool:
    return pid not in tasks.ppid and pid not in tasks.members and pid not in tasks.sessions


def _is_mine(tasks: Tasks, actor: int, pid: int, _: int) -> bool:
    return pid == actor or tasks.ppid.get(pid) == actor


def _can_join(tasks: Tasks, actor: int, pid: int, pgid: int) -> bool:
    return pid == pgid or tasks.homes.get(pgid) == tasks.sid[actor]


def _fork(tasks: Tasks, actor: int, pid: int) -> None:
    tasks.add(pid, actor, tasks.pgid[actor], tasks.sid[actor])


def _fork_sibling(tasks: Tasks, actor: int, pid: int) -> None:
    tasks.add(pid, tasks.ppid[actor], tasks.pgid[actor], tasks.sid[actor])


def _setsid(tasks: Tasks, actor: int) -> None:
    tasks.leave_session(actor)
    tasks.sid[actor] = actor
    tasks.sessions[actor] = 1
    tasks.move(actor, actor)


def _setpgid(tasks: Tasks, _: int, pid: int, pgid: int) -> None:
    tasks.move(pid, pgid)


def _subreaper(tasks: Tasks, actor: int, flag: int) -> None:
    if flag:
        tasks.reapers.add(actor)
    else:
        tasks.reapers.discard(actor)


def _exit(tasks: Tasks, actor: int, _code: int) -> None:
    kids = tasks.kids.pop(actor, None)
    if kids:
        heir = tasks.heir(actor)
        tasks.kids.setdefault(heir, set()).update(kids)
        for kid in kids:
            tasks.ppid[kid] = heir
    tasks.dead.add(actor)


def _wait(tasks: Tasks, _: int, pid: int) -> None:
    tasks.remove(pid)


def _exec(tasks: Tasks, actor: int) -> None:
    tasks.execed.add(actor)


ALIVE = Condition("the actor is alive", "ESRCH", _is_alive)
FREE = Condition("the number is no pid, group or session", "EEXIST", _is_free)

RULES = {
    rule.name: rule
    for rule in (
        Rule("fork", (ALIVE, FREE), _fork),
        Rule(
            "fork_sibling",
            (
                ALIVE,
                Condition("the actor is no init: it has no siblings", "EINVAL", lambda t, a, _: a != t.init),
                FREE,
            ),
            _fork_sibling,
        ),
        Rule(
            "setsid",
            (
                ALIVE,
                Condition("no task is in a group of the actor's number", "EPERM", lambda t, a: a not in t.members),
            ),
            _setsid,
        ),
        Rule(
            "setpgid",
            (
                ALIVE,
                Condition("the task is the actor or its child", "ESRCH", _is_mine),
                Condition("it is in the actor's session", "EPERM", lambda t, a, p, _: t.sid[p] == t.sid[a]),
                Condition("a child has not called execve", "EACCES", lambda t, a, p, _: p == a or p not in t.execed),
                Condition("it leads no session", "EPERM", lambda t, _a, p, _: t.sid[p] != p),
                Condition("the group is new or lies in the actor's session", "EPERM", _can_join),
            ),
            _setpgid,
        ),
        Rule("subreaper", (ALIVE,), _subreaper),
        Rule(
            "exit",
            (ALIVE, Condition("the actor is no init: its death ends all", "EBUSY", lambda t, a, _: a != t.init)),
            _exit,
        ),
        Rule(
            "wait",
            (  # the dead have no children: the first condition holds for the living only
                Condition("the task is the actor's child", "ECHILD", lambda t, a, p: t.ppid.get(p) == a),
                Condition("it is dead", "EAGAIN", lambda t, _, p: p in t.dead),
            ),
            _wait,
        ),
        Rule("exec", (ALIVE,), _exec),
    )
}
