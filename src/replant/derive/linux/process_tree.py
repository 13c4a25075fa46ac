"""Derive a process tree: from what is known of its tasks to the system calls that make it, or why none do."""

from __future__ import annotations

import gc

from ..lineage import FOUNDER, grow
from ..rules import simulate
from ..search import Stuck
from .births import births
from .emit import emit
from .rules import RULES, Tasks
from .shape import Shape
from .target import Impossible, Outside, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .emit import Op
    from .target import TaskLike


class Derivation:
    """The answer for one tree.

    ``ok``: ``ops`` make the tree, ``(actor, name, *arguments)`` each, simulated against the rules before they are
    handed out. Not ``ok``: ``why`` in words and ``core``, the pids that make it impossible; or ``gave_up``. ``tries``
    counts the attempts of the search. ``helpers`` are the pids of tasks that are no part of the tree and are gone at
    the end.
    """

    __slots__ = ("core", "gave_up", "helpers", "ok", "ops", "outside", "tasks", "tries", "why")

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.ok = False
        self.ops: list[Op] = []
        self.helpers: list[int] = []
        self.tasks: list[int] = []
        self.tries = 0
        self.why = ""
        self.core: list[int] = []
        self.gave_up = False

    def as_dict(self) -> dict[str, object]:
        """The answer as one JSON object."""
        if self.ok:
            return {"ok": True, "ops": self.ops, "tries": self.tries}
        answer: dict[str, object] = {"ok": False, "why": self.why, "core": self.core}
        if self.gave_up:
            answer["gave_up"] = True
        return answer

    def dependencies(self) -> list[list[int]]:
        """For each operation the indices of those that must be done before it: the order that matters, no more.

        Operations that do not depend on each other, directly or through others, may run at the same time.
        """
        from .order import dependencies

        return dependencies(self.ops, self.outside)


def process_tree(
    tasks: Iterable[TaskLike],
    *,
    outside: Outside | None = None,
    avoid: Container[int] = (),
    budget: int = 0,
) -> Derivation:
    """Derive the tree of ``tasks``: mappings or objects with ``pid, ppid, pgid, sid, state, subreaper``.

    ``outside`` is what exists before (default: an init, pid 1, alone in session 1). Pids in ``avoid`` are not given to
    helpers. ``budget`` bounds the search's attempts (default: 20 a task, 20,000 at least; hard trees took 0.2
    a task): a tree that needs more is answered with ``gave_up``.

    :raises UsageError: if a task is no such thing, or has keys that are not known.
    :raises Bug: if the operations found do not make the tree; they are never handed out.
    """
    answer = Derivation(outside or Outside())
    collecting = gc.isenabled()
    gc.disable()  # nothing here is cyclic: looking through millions of tuples for rings takes a seventh of the time
    try:
        _derive(answer, tasks, outside, avoid, budget)
    finally:
        if collecting:
            gc.enable()
    return answer


def _derive(
    answer: Derivation, tasks: Iterable[TaskLike], outside: Outside | None, avoid: Container[int], budget: int
) -> None:
    try:
        target = Target(tasks, outside)
        shape = _shape(target, answer, avoid, budget or max(20_000, 20 * target.count))
    except Impossible as reason:
        answer.why, answer.core = reason.why, reason.core
        return
    if shape is None:
        answer.why, answer.gave_up = f"gave up after {answer.tries} attempts", True
        return
    answer.outside = target.outside
    answer.ops = emit(shape)
    answer.tasks = target.pid[1 : target.count + 1]
    answer.helpers = shape.pid[target.count + 1 :]
    verify(target, answer.ops)
    answer.ok = True


def _shape(target: Target, answer: Derivation, avoid: Container[int], budget: int) -> Shape | None:
    above = [over if over > 0 else 0 for over in target.parent]
    cohort = [FOUNDER if home == i else home for i, home in enumerate(target.session)]
    found = grow(above, cohort, budget, births(target))
    answer.tries = found.tries
    if not isinstance(found, Stuck):
        return Shape(target, found, avoid)
    if found.gave_up:
        return None
    from .refusal import refusal

    raise refusal(target, above, cohort, found)


def verify(target: Target, ops: Iterable[Op]) -> None:
    """Simulate ``ops`` and compare the outcome with ``target``.

    :raises Bug: if a rule is broken or anything differs.
    """
    from ..rules import Refusal

    outside = target.outside
    tasks = Tasks(outside.pid, target.pgid[0], outside.sid, outside.groups - {target.pgid[0]})
    try:
        simulate(tasks, RULES, ops)
    except Refusal as refusal:
        raise _bug(str(refusal)) from None
    _compare(target, tasks)


def _compare(target: Target, tasks: Tasks) -> None:
    pids, ppid, pgid, sid = target.pid, tasks.ppid, tasks.pgid, tasks.sid
    if len(ppid) != target.count + 1:
        raise _bug(f"{len(ppid) - 1} tasks instead of {target.count}")
    for i in range(1, target.count + 1):
        pid, home = pids[i], target.session[i]
        wanted_sid = pids[home] if home else sid[target.outside.pid]
        if ppid[pid] != pids[target.parent[i]] or pgid[pid] != target.pgid[i] or sid[pid] != wanted_sid:
            raise _bug(f"task {pid} has parent, group, session {ppid[pid], pgid[pid], sid[pid]}")
    dead = {pids[i] for i, is_dead in enumerate(target.zombie) if is_dead and i <= target.count}
    reapers = {pids[i] for i, flag in enumerate(target.subreaper) if flag}
    if tasks.dead != dead or tasks.reapers != reapers:
        raise _bug("other tasks are dead, or subreapers, than should be")


def _bug(what: str) -> Exception:
    from ...errors import Bug

    return Bug(f"the derivation is wrong: {what}", code="derivation-wrong", hint="please report the tree")
