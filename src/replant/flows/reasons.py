"""Why a restore does what it does in that order, and the derivation of a tree as a picture: for people."""

from __future__ import annotations

from replant.derive import explain, to_dot, to_svg
from replant.errors import UsageError
from replant.flows.plan import model_of
from replant.flows.program import alive
from replant.flows.tree import derive_tree
from replant.resources import order, steps, task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.model.tree import Model


def explained(target: str | int, pid: int) -> list[str]:
    """Why there is what concerns ``pid``: how it comes to its place in the tree, and what each of its steps waits for.

    ``pid`` is a process of the tree, a thread, or a helper that the derivation needs.

    :raises UsageError: it is none of these.
    :raises Refused: the tree cannot be restored, or (live) not be dumped.
    """
    model = model_of(target)
    found = derive_tree(model)
    leader = next((t.pid for t in alive(model) if pid in t.threads), 0)
    if not leader and pid not in {*found.helpers, *(t.pid for t in model.tasks)}:
        raise UsageError(f"{pid} is no task of the tree and no helper", code="no-such-task", pid=pid)
    lines = explain(found, pid).splitlines() if leader in (pid, 0) else []
    return [*lines, *(_steps(model, pid, leader) if leader else ())]


def drawn(target: str | int, form: str) -> str:
    """The derivation of the tree, ``"dot"`` or ``"svg"``.

    :raises Refused: the tree cannot be restored, or (live) not be dumped.
    """
    return {"dot": to_dot, "svg": to_svg}[form](derive_tree(model_of(target)))


def _steps(model: Model, tid: int, leader: int) -> Iterator[str]:
    """The steps of a process or thread that wait for others, in order, with the words that are the reason."""
    process = next(t for t in model.tasks if t.pid == leader)
    found, who = steps.process_order(), order.LEADER if tid == leader else order.THREAD
    there = {
        order.LEADER: _kinds(model, [leader]),
        order.THREAD: _kinds(model, process.threads[1:] if tid == leader else [tid]),
    }
    for name in found.leader if who == order.LEADER else found.thread:
        reasons: dict[str, list[str]] = {}
        for actor, other, word in found.waits(name, who) if name in there[who] else ():
            if other in there[actor] and (who, other) != (order.THREAD, "threads"):  # that is its birth
                reasons.setdefault(word, []).append(other if actor == who else f"{other} of {_other(actor, leader)}")
        for word, others in reasons.items():
            yield f"{name} after {', '.join(others)}: {word} ({task.WORDS[word]})"


def _kinds(model: Model, tids: Sequence[int]) -> set[str]:
    """The steps that some of these tasks go through."""
    kinds = {a.kind for a in model.attributes if a.tid in tids}
    return kinds | steps.STEPS.keys() if tids else kinds


def _other(actor: str, leader: int) -> str:
    return f"process {leader}" if actor == order.LEADER else "its threads"
