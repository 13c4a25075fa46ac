"""Why each operation of a derivation is there, in words."""

from __future__ import annotations

from ..rules import attempt
from .rules import RULES, Tasks
from .terminals import WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .emit import Op
    from .process_tree import Derivation


_IOCTLS = {"ctty": "TIOCSCTTY", "noctty": "TIOCNOTTY", "foreground": "TIOCSPGRP"}


def reasons(derivation: Derivation) -> list[str]:
    """One reason for each operation, in the same order; found by simulating them once more."""
    story = _Story(derivation)
    return [story.tell(i, op) for i, op in enumerate(derivation.ops)]


def explain(derivation: Derivation, pid: int) -> str:
    """Everything that concerns task ``pid``: each operation by it or about it, its reason, and what it waits for."""
    if not derivation.ok:
        return derivation.why
    told, before = reasons(derivation), derivation.dependencies()
    lines = []
    for i, op in enumerate(derivation.ops):
        if pid == op[0] or pid in op[2:3]:
            waits = [f"{j}: {call(derivation.ops[j])}" for j in before[i] if derivation.ops[j][0] != op[0]]
            after = f" (after {'; '.join(waits)})" if waits else ""
            lines.append(f"{i}: {op[0]} {call(op)}: {told[i]}{after}")
    return "\n".join(lines) or f"no operation concerns {pid}"


def call(op: Op) -> str:
    """An operation as the system call it stands for."""
    name, *rest = op[1:]
    if name in ("fork", "fork_sibling"):
        flags = "CLONE_PARENT, exit_signal=0" if name == "fork_sibling" else "exit_signal=SIGCHLD"
        return f"clone3({{{flags}, set_tid=[{rest[0]}]}})"
    if name == "subreaper":
        return f"prctl(PR_SET_CHILD_SUBREAPER, {rest[0]})"
    if name in _IOCTLS:
        return f"ioctl({', '.join(map(str, (rest[0], _IOCTLS[str(name)], *rest[1:])))})"
    if name == "wait":
        return f"waitpid({rest[0]}, __WALL)"
    return f"{name}({', '.join(map(str, rest))})"


class _Story:
    """The state as it goes on, and what is known of the whole: who founds what, who is left at the end."""

    def __init__(self, derivation: Derivation) -> None:
        outside = derivation.outside
        self.tasks = Tasks(outside.pid, outside.pgid, outside.sid, outside.groups - {outside.pgid})
        self.helpers = set(derivation.helpers)
        for op in derivation.ops:
            if op[1] == "fork" and op[2] not in derivation.tasks:
                self.helpers.add(int(op[2]))
        self.founders = {op[0]: op[1] for op in derivation.ops if op[1] == "setsid"}
        self.groups = {op[0] for op in derivation.ops if op[1] == "setpgid" and op[2] == op[3]}
        self.joined = [op[3] for op in derivation.ops if op[1] == "setpgid" and op[2] != op[3]]
        self.last_flag = {op[0]: i for i, op in enumerate(derivation.ops) if op[1] == "subreaper"}

    def tell(self, i: int, op: Op) -> str:
        """Do ``op``; :return: its reason."""
        actor, name = int(op[0]), str(op[1])
        rest = [int(n) for n in op[2:]]
        kids = sorted(self.tasks.kids.get(actor, ()))
        if name in RULES:
            attempt(self.tasks, RULES, op)
        if name in WORDS:
            return WORDS[name]
        if name in ("fork", "fork_sibling"):
            return self._birth(actor, rest[0])
        if name == "setsid":
            return f"leads session {actor}" + (f"; {_list(kids)} had to be born before" if kids else "")
        if name == "setpgid":
            return self._group(actor, rest[1])
        if name == "subreaper":
            return self._flag(i, actor, rest[0])
        if name == "exit":
            return self._death(actor, kids)
        return f"{rest[0]} is no part of the tree: its number is given back"

    def _birth(self, actor: int, pid: int) -> str:
        tasks = self.tasks
        born = f"born in session {tasks.sid[pid]}, group {tasks.pgid[pid]}"
        if tasks.ppid[pid] != actor:
            born += f"; a child of {tasks.ppid[pid]} like {actor}"
        return f"{born}; {self._role(pid)}" if pid in self.helpers else born

    def _role(self, pid: int) -> str:
        if pid in self.founders:
            return f"a helper: session {pid} has lost its leader"
        if pid in self.groups:
            return f"a helper: group {pid} has lost its leader"
        return "a helper: its death hands its children up, or it keeps a group alive"

    def _group(self, actor: int, pgid: int) -> str:
        if pgid != actor:
            return f"joins group {pgid}, which it could not be born into"
        return f"leads group {pgid}" + (", which others join" if pgid in self.joined else "")

    def _flag(self, i: int, actor: int, flag: int) -> str:
        if self.last_flag[actor] == i and flag:
            return f"{actor} is a subreaper"
        return f"children of the dead fall to {actor}" if flag else f"no more children are to fall to {actor}"

    def _death(self, actor: int, kids: list[int]) -> str:
        end = "a helper's end" if actor in self.helpers else "a zombie of the tree"
        return f"{end}; its children {_list(kids)} fall to {self.tasks.ppid[kids[0]]}" if kids else end


def _list(pids: list[int]) -> str:
    return ", ".join(map(str, pids))
