"""Random trees for measurements and tests: what random operations leave behind, and a class made to be hard."""

from __future__ import annotations

from random import Random

from replant.derive.linux.rules import RULES, Tasks
from replant.derive.rules import attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    Task = dict[str, object]
    Op = tuple[int | str, ...]


def random_op(rng: Random, tasks: Tasks, pids: range, *, subreapers: bool = True, exec_too: bool = False) -> Op:
    """An operation that may or may not be allowed; actors are mostly alive."""
    living = [pid for pid in tasks.ppid if pid not in tasks.dead]
    actor = rng.choice(living)
    some = [n for n in (*tasks.ppid, *tasks.members) if n]  # 0 would mean the actor
    kind = rng.choice(("fork", "fork", "fork_sibling", "setsid", "setpgid", "setpgid", "exit", "wait", "more"))
    if kind in ("fork", "fork_sibling"):
        return (actor, kind, rng.choice(pids))
    if kind == "setpgid":
        pid = rng.choice((actor, rng.choice(some)))
        return (actor, kind, pid, rng.choice((pid, rng.choice(some))))
    if kind == "exit":
        return (actor, kind, 0)
    if kind == "wait":
        return (actor, kind, rng.choice(some))
    if kind == "more" and exec_too and rng.random() < 0.3:
        return (actor, "exec")
    if kind == "more" and subreapers:
        return (actor, "subreaper", rng.randrange(2))
    return (actor, "setsid")


def described(tasks: Tasks) -> list[Task]:
    """The state of ``tasks`` as a target for the derivation, without the init."""
    return [
        {"pid": p, "ppid": s[0], "pgid": s[1], "sid": s[2], "state": "Z" if s[3] else "S", "subreaper": s[4]}
        for p, s in sorted(tasks.state().items())
        if p != tasks.init
    ]


def walk(rng: Random, steps: int, most: int, *, subreapers: bool = True) -> list[Task]:
    """The tree that ``steps`` random operations leave, with at most ``most`` tasks at a time."""
    tasks, pids = Tasks(), range(2, most + 1)
    for _ in range(steps):
        attempt(tasks, RULES, random_op(rng, tasks, pids, subreapers=subreapers))
    return described(tasks)


def hard(rng: Random, size: int, leaders: float = 1 / 3, dead: float = 1 / 3, lifted: float = 0.6) -> list[Task]:
    """A random creation tree: some tasks lead sessions, some are dead, many have a random ancestor as parent."""
    creator, session, birth = [0], [0], [0]
    ways: list[list[int]] = [[0]]
    for i in range(1, size + 1):
        by = rng.randrange(i)
        creator.append(by)
        ways.append([*ways[by], i])
        birth.append(rng.choice((session[by], birth[by])))
        session.append(i if rng.random() < leaders else birth[i])
    gone = [i > 0 and rng.random() < dead for i in range(size + 1)]
    tasks: list[Task] = []
    for i in range(1, size + 1):
        if gone[i]:
            continue
        over = [a for a in ways[i][:-1] if not gone[a]]
        parent = rng.choice(over) if rng.random() < lifted else over[-1]
        number, sid = i + 1, session[i] + 1
        tasks.append({"pid": number, "ppid": parent + 1, "pgid": sid, "sid": sid, "state": "S", "subreaper": False})
    return tasks
