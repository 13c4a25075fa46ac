"""Which operation of a derivation has to wait for which: the partial order that the rules leave.

Every operation reads and writes a few facts: that a task exists, its group, that a group has members, who its parent
is. Two operations keep their order only if one writes what the other reads or writes; joining a group commutes with
joining it, so joins are a reading of "the group exists", and what ends that is a writing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .emit import Op
    from .target import Outside

    Fact = tuple[str, int]


def dependencies(ops: Sequence[Op], outside: Outside) -> list[list[int]]:
    """For each operation, the indices of earlier ones it must come after; ascending, direct ones only."""
    tracker = _Tracker(outside)
    return [tracker.note(i, op) for i, op in enumerate(ops)]


class _Tracker:
    """Who wrote each fact last, and who has read it since; and the state needed to know the facts of an operation."""

    def __init__(self, outside: Outside) -> None:
        self.writer: dict[Fact, int] = {}
        self.readers: dict[Fact, list[int]] = {}
        self.parent: dict[int, int] = {outside.pid: 0}
        self.group: dict[int, int] = {outside.pid: outside.pgid}
        self.kids: dict[int, set[int]] = {}
        self.reapers: set[int] = set()
        self.init = outside.pid
        self.outer = {outside.pgid, *outside.groups}

    def note(self, i: int, op: Op) -> list[int]:
        """Record operation ``i``; :return: what it depends on."""
        reads, writes = self._facts(op)
        before: set[int] = set()
        for fact in (*reads, *writes):
            if fact in self.writer:
                before.add(self.writer[fact])
        for fact in writes:
            before.update(self.readers.pop(fact, ()))
        for fact in reads:
            self.readers.setdefault(fact, []).append(i)
        for fact in writes:
            self.writer[fact] = i
        before.discard(i)
        return sorted(before)

    def _facts(self, op: Op) -> tuple[list[Fact], list[Fact]]:
        """What ``op`` reads and what it writes; ("does", pid) makes each task do one thing after the other."""
        actor, name = op[0], op[1]
        assert isinstance(actor, int)
        arguments = [a for a in op[2:] if isinstance(a, int)]
        writes: list[Fact] = [("does", actor)]
        if name in ("fork", "fork_sibling"):
            return self._born(actor, arguments[0], sibling=name == "fork_sibling"), [*writes, ("is", arguments[0])]
        if name == "setsid":
            self.group[actor] = actor
            return [("is", actor)], [*writes, ("group", actor)]
        if name == "setpgid":
            return self._moved(actor, arguments[0], arguments[1], writes)
        if name in ("ctty", "noctty"):
            return [("is", actor)], writes
        if name == "foreground":
            return [("is", actor), ("is", arguments[1]), ("group", arguments[1])], writes
        if name == "subreaper":
            (self.reapers.add if arguments[0] else self.reapers.discard)(actor)
            return [("is", actor)], [*writes, ("reaps", actor)]
        if name == "exit":
            return self._died(actor, writes)
        gone = arguments[0]
        return [("ended", gone), ("parent", gone)], [*writes, ("is", gone), *self._left(gone)]

    def _born(self, actor: int, pid: int, *, sibling: bool) -> list[Fact]:
        parent = self.parent[actor] if sibling else actor
        self.parent[pid] = parent
        self.group[pid] = self.group[actor]
        self.kids.setdefault(parent, set()).add(pid)
        return [("is", actor), ("group", self.group[actor])] + ([("parent", actor)] if sibling else [])

    def _moved(self, actor: int, pid: int, pgid: int, writes: list[Fact]) -> tuple[list[Fact], list[Fact]]:
        """A join reads that the group is there. Leaving may end it, unless its leader stays: that one leaves last."""
        left = self.group[pid]
        if pid != actor:
            writes.append(("does", pid))
        if left != pgid and left not in self.outer and (left == pid or self.group.get(left) != left):
            writes.append(("group", left))
        self.group[pid] = pgid
        reads: list[Fact] = [("is", actor), ("is", pid)]
        if pgid == pid:
            return reads, [*writes, ("group", pgid)]
        return [*reads, ("group", pgid)], writes

    def _left(self, gone: int) -> list[Fact]:
        """Being waited for leaves the group, if that may be its end."""
        group = self.group.pop(gone)
        return [] if group in self.outer or self.group.get(group) == group else [("group", group)]

    def _died(self, actor: int, writes: list[Fact]) -> tuple[list[Fact], list[Fact]]:
        """Children move to the nearest subreaper: every flag on the way is read, every child's parent is written."""
        reads: list[Fact] = [("is", actor)]
        over = self.parent[actor]
        kids = self.kids.pop(actor, set())
        while kids and over != self.init:
            reads += [("reaps", over), ("parent", over)]
            if over in self.reapers:
                break
            over = self.parent[over]
        for kid in kids:
            self.parent[kid] = over
            self.kids.setdefault(over, set()).add(kid)
            writes.append(("parent", kid))
        writes.append(("ended", actor))
        return reads, writes
