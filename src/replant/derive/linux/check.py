"""A second reading of the manual: checks derivations with nothing in common with the solver and its rules.

States are plain mappings ``pid -> (ppid, pgid, sid, dead, subreaper)`` that are never changed, every question is
answered by looking at all tasks, nothing is counted or remembered. Slow and plain on purpose: `derive.verify` runs on
every derivation, this in tests, in the enumeration of all trees, and wherever somebody doubts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = tuple[int, int, int, bool, bool]
    State = Mapping[int, Row]
    Op = tuple[int | str, ...]

START: State = {1: (0, 1, 1, False, False)}
INIT = 1


def step(state: State, op: Op) -> State | None:
    """The state after ``op``, or None if the kernel would refuse it."""
    actor, name, *rest = op
    numbers = [n for n in rest if isinstance(n, int)]
    if not isinstance(actor, int) or actor not in state or state[actor][3]:
        return None
    if name in ("fork", "fork_sibling"):
        return _fork(state, actor, numbers[0], sibling=name == "fork_sibling")
    if name == "setsid":
        return _setsid(state, actor)
    if name == "setpgid":
        return _setpgid(state, actor, *numbers)
    if name == "subreaper":
        return _with(state, actor, 4, bool(numbers[0]))
    if name == "exit":
        return _exit(state, actor)
    if name == "wait":
        return _wait(state, actor, numbers[0])
    return None


def _with(state: State, pid: int, place: int, value: int) -> State:
    row = list(state[pid])
    row[place] = value
    return {**state, pid: tuple(row)}  # type: ignore[dict-item]


def _fork(state: State, actor: int, pid: int, *, sibling: bool) -> State | None:
    used = set(state) | {row[1] for row in state.values()} | {row[2] for row in state.values()}
    if pid in used or (sibling and actor == INIT):
        return None
    ppid, pgid, sid = state[actor][:3]
    return {**state, pid: (ppid if sibling else actor, pgid, sid, False, False)}


def _setsid(state: State, actor: int) -> State | None:
    if any(row[1] == actor for row in state.values()):
        return None
    ppid, _, _, dead, subreaper = state[actor]
    return {**state, actor: (ppid, actor, actor, dead, subreaper)}


def _setpgid(state: State, actor: int, pid: int, pgid: int) -> State | None:
    if pid not in state:
        return None
    ppid, _, sid = state[pid][:3]
    here = state[actor][2]
    if (pid != actor and ppid != actor) or sid != here or sid == pid:
        return None
    if pgid != pid and not any(row[1] == pgid and row[2] == here for row in state.values()):
        return None
    return _with(state, pid, 1, pgid)


def _exit(state: State, actor: int) -> State | None:
    if actor == INIT:
        return None
    heir = state[actor][0]
    while heir != INIT and (state[heir][3] or not state[heir][4]):
        heir = state[heir][0]
    after = {p: (heir, *row[1:]) if row[0] == actor else row for p, row in state.items()}
    ppid, pgid, sid = after[actor][:3]
    after[actor] = (ppid, pgid, sid, True, False)
    return after


def _wait(state: State, actor: int, pid: int) -> State | None:
    if pid not in state or state[pid][0] != actor or not state[pid][3]:
        return None
    return {p: row for p, row in state.items() if p != pid}


def outcome(ops: Iterable[Op], start: State = START) -> State:
    """The state that ``ops`` lead to.

    :raises ValueError: at the first operation that the kernel would refuse.
    """
    state = start
    for position, op in enumerate(ops):
        after = step(state, op)
        if after is None:
            raise ValueError(f"operation {position}, {op}, is not possible")
        state = after
    return state


def differences(tasks: Iterable[Mapping[str, object]], ops: Iterable[Op], start: State = START) -> list[str]:
    """What is wrong with ``ops`` as a derivation of ``tasks``, in words; nothing if it is one.

    The subreaper flag of the dead is not compared: nothing shows it, and it has no effect.
    """
    try:
        state = dict(outcome(ops, start))
    except ValueError as refused:
        return [str(refused)]
    wrong = []
    for task in tasks:
        dead = task.get("state", "S") == "Z"
        flag = bool(task.get("subreaper")) and not dead
        wanted = (task["ppid"], task["pgid"], task["sid"], dead, flag)
        found = state.pop(int(str(task["pid"])), None)
        if found is not None and dead:
            found = (*found[:4], False)
        if task["pid"] != INIT and found != wanted:
            wrong.append(f"task {task['pid']} is {found}, not {wanted}")
    return wrong + [f"task {pid} is left over" for pid in state if pid not in start]
