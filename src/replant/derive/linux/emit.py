"""From the shape of a derivation to its operations, in four stages.

1. *Create*: every task, in the order of the creation tree: children of the birth session or birth group, setsid or
   setpgid, all other children. One task's operations stand together, so they are one batch.
2. *Groups*: who could not be born into its group joins it, now that all exist; who leaves a group it leads goes last.
3. *Deaths*: lowest destination first, each with the flag of a subreaper while children fall to it.
4. *Flags*: what is to remain a subreaper becomes one.
"""

from __future__ import annotations

from .shape import depths, kids_of

_FEW = 64  # tasks that may have to wait with a leader that stands in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .shape import Shape

    Op = tuple[int | str, ...]


def emit(shape: Shape) -> list[Op]:
    """The operations that make ``shape``."""
    emission = _Emission(shape)
    emission.create()
    emission.settle_groups()
    emission.die()
    emission.flag()
    return emission.ops


class _Emission:
    """The state of the emission: each task's group and parent as they are after the operations so far."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.ops: list[Op] = []
        self.group = [0] * len(shape.pid)
        self.group[0] = shape.target.pgid[0]
        self.parent = [0] * len(shape.pid)
        self.made = {self.group[0], *shape.target.outside.groups}
        self.late: list[int] = []
        self.flagged: set[int] = set()
        self.left = {shape.pid[i] for i in range(1, shape.target.count + 1) if _is_leaver(shape, i)}
        self.rings = _rings(shape) if self.left else set()
        self.first, self.following = kids_of(shape.creator)
        self.stand_ins: dict[int, int] = {}

    def create(self, root: int = 0) -> None:
        """Stage 1, from ``root`` on, without recursion: a chain of a million tasks is as good as any."""
        first, following, creator, rings = self.first, self.following, self.shape.creator, self.rings
        stack = [root]
        while stack:
            node = stack.pop()
            if creator[node] in rings and self._stands_in(node):
                continue
            kid = first[node]
            if not kid:
                self._change(node)
                continue
            kids = []
            while kid:
                kids.append(kid)
                kid = following[kid]
            self._fork_and_change(node, kids)
            kids.reverse()
            stack += kids

    def _fork_and_change(self, node: int, kids: list[int]) -> None:
        """Create the children that need what ``node`` was born with, then change, then create the others."""
        shape, born_into = self.shape, self.group[node]
        if shape.session[node] == node and node:
            early = [kid for kid in kids if shape.born[kid] != node]
        elif self._moves(node):
            early = [kid for kid in kids if shape.group[kid] == born_into and not shape.own[kid]]
        else:
            early = kids
        self._fork(node, early)
        self._change(node)
        if len(early) < len(kids):
            done = set(early)
            self._fork(node, [kid for kid in kids if kid not in done])

    def _moves(self, node: int) -> bool:
        shape = self.shape
        if not 0 < node < shape.first_helper:
            return False
        return self.group[node] != (shape.pid[node] if shape.own[node] else shape.group[node])

    def _fork(self, node: int, kids: list[int]) -> None:
        add, pids, sibling = self.ops.append, self.shape.pid, self.shape.sibling
        groups, parents = self.group, self.parent
        actor, group, parent = pids[node], groups[node], parents[node]
        for kid in kids:
            groups[kid] = group
            if sibling[kid]:
                parents[kid] = parent
                add((actor, "fork_sibling", pids[kid]))
            else:
                parents[kid] = node
                add((actor, "fork", pids[kid]))

    def _change(self, node: int) -> None:
        """Found the session or the group, or join a group that exists already."""
        shape = self.shape
        pid = shape.pid[node]
        if shape.session[node] == node and node:
            self.ops.append((pid, "setsid"))
            self.group[node] = pid
            self.made.add(pid)
        elif self._moves(node):
            if shape.own[node]:
                self.made.add(pid)
                self._join(node, pid)
            elif shape.group[node] in self.made:
                self._join(node, shape.group[node])
        if 0 < node < shape.first_helper and self.group[node] != shape.group[node]:
            self.late.append(node)

    def _stands_in(self, node: int) -> bool:
        """Whether a leader yet to call setsid waits with all it creates, to hold the ring's group it was born into."""
        shape, group = self.shape, self.group[node]
        if shape.session[node] != node or group != shape.pid[shape.creator[node]] or group in self.stand_ins:
            return False
        below = [node]
        for other in below:
            if len(below) > _FEW or _is_leaver(shape, other) or shape.group[other] in self.left:
                return False
            kid = self.first[other]
            while kid:
                below.append(kid)
                kid = self.following[kid]
        self.stand_ins[group] = node
        return True

    def _join(self, node: int, group: int) -> None:
        pid = self.shape.pid[node]
        self.group[node] = group
        self.ops.append((pid, "setpgid", pid, group))

    def settle_groups(self) -> None:
        """Stage 2: first who holds a group for its leader to leave, then the leaders that leave, then all others."""
        shape = self.shape
        leavers = {shape.pid[node]: node for node in self.late if shape.own[node]}
        others = [node for node in self.late if not shape.own[node]]
        for node in others:
            if shape.group[node] in leavers:
                self._join(node, shape.group[node])
        if leavers:
            others += self._leave(leavers)
        self.rings = set()
        for node in self.stand_ins.values():
            self.create(node)
        others += [node for node in self.late if not shape.own[node]]
        for node in others:
            if self.group[node] != shape.group[node]:
                self._join(node, shape.group[node])

    def _leave(self, leavers: dict[int, int]) -> list[int]:
        """Let ``leavers`` (by pid) leave their groups; :return: tasks that stood in for a member, to be put back."""
        shape = self.shape
        waiting, lent = dict(leavers), list[int]()
        keepers: dict[int, int] | None = None
        ready = _held(shape, waiting)
        while waiting:
            if not ready:
                keepers = self._keepers() if keepers is None else keepers
                ready.append(self._hold(next(iter(waiting.values())), keepers, lent))
            node = waiting.pop(ready.pop(), 0)
            if node:
                self._join(node, shape.group[node])
                ready += [shape.group[node]] if shape.group[node] in waiting else []
        return lent

    def _keepers(self) -> dict[int, int]:
        """For each session a task that can be lent to another group of it, helpers and those still to join first."""
        shape, index = self.shape, self.shape.target.index
        keepers: dict[int, int] = {}
        for node in range(shape.first_helper, len(shape.pid)):
            keepers.setdefault(shape.session[node], node)
        for node in self.late:
            if not shape.own[node] and self.group[node] != shape.group[node]:
                keepers.setdefault(shape.session[node], node)
        for node in range(1, shape.target.count + 1):
            leader = index.get(shape.group[node], 0)
            settled = self.group[node] == shape.group[node] and shape.session[node] != node
            if settled and leader != node and not _is_leaver(shape, leader):
                keepers.setdefault(shape.session[node], node)
        return keepers

    def _hold(self, node: int, keepers: dict[int, int], lent: list[int]) -> int:
        """A ring of leavers: lend a member to one of the groups, or make a placeholder; :return: that group."""
        shape, group = self.shape, self.shape.pid[node]
        following = shape.group[node]
        while following != group:
            if following in self.stand_ins:
                return following
            following = shape.group[shape.target.index[following]]
        if group in self.stand_ins:
            return group
        keeper = keepers.get(shape.session[node])
        if keeper is not None:
            self._join(keeper, group)
            if keeper < shape.first_helper and keeper not in lent:
                lent.append(keeper)
            return group
        number = next(shape.numbers)
        shape.add(number, node, shape.session[node], group)
        self.parent.append(node)
        self.group.append(group)
        self.ops.append((group, "fork", number))
        return group

    def die(self) -> None:
        """Stage 3: the deaths others wait for, then those that concern nobody, children before parents."""
        shape, parent = self.shape, self.parent
        mortal = [i for i, dies in enumerate(shape.dying) if dies]
        if not mortal:
            return
        depth = depths(parent)
        self.orphans: dict[int, list[int]] = {}
        for i in mortal:
            if shape.dying[parent[i]]:
                self.orphans.setdefault(parent[i], []).append(i)
        events: dict[int, list[int]] = {}
        for i, heir in shape.lands.items():
            events.setdefault(heir, []).append(i)
        order = sorted(events, key=lambda heir: (-depth[heir], heir))
        for position, heir in enumerate(order):
            self._fall_to(heir, events[heir], [i for h in order[position + 1 :] for i in events[h]])
        mortal = [i for i in mortal if i not in shape.lands]
        for i in sorted(mortal, key=lambda i: -depth[i]):
            self._exit(i, 0)

    def _fall_to(self, heir: int, deaths: list[int], coming: list[int]) -> None:
        pid = self.shape.pid[heir]
        if heir and heir not in self.flagged:
            self.ops.append((pid, "subreaper", 1))
        for i in deaths:
            self._exit(i, heir)
        if not heir:
            return
        if self.shape.target.subreaper[heir] and not self._crossed(heir, coming):
            self.flagged.add(heir)
        else:
            self.ops.append((pid, "subreaper", 0))

    def _crossed(self, heir: int, coming: list[int]) -> bool:
        """Whether children still have to fall past ``heir``."""
        for node in coming:
            while node and node != heir:
                node = self.parent[node]
            if node:
                return True
        return False

    def _exit(self, node: int, heir: int) -> None:
        """One death; the parent waits for it unless the dead task is part of the target."""
        shape, pid = self.shape, self.shape.pid[node]
        alive_in_target = node <= shape.target.count
        if alive_in_target and shape.target.subreaper[node]:
            self.ops.append((pid, "subreaper", 1))
        self.ops.append((pid, "exit", 0))
        for orphan in self.orphans.pop(node, ()):
            self.parent[orphan] = heir
        if not alive_in_target:
            self.ops.append((shape.pid[self.parent[node]], "wait", pid))

    def flag(self) -> None:
        """Stage 4."""
        target = self.shape.target
        for i in range(target.count + 1):
            if target.subreaper[i] and not target.zombie[i] and i not in self.flagged:
                self.ops.append((target.pid[i], "subreaper", 1))


def _is_leaver(shape: Shape, node: int) -> bool:
    """Whether a task leads a group of its number for a while and ends in another."""
    return shape.own[node] == 1 and shape.group[node] != shape.pid[node]


def _held(shape: Shape, leavers: dict[int, int]) -> list[int]:
    """The groups of ``leavers`` (by pid) that have a member which stays."""
    held = {shape.group[i] for i in range(1, shape.target.count + 1) if not _is_leaver(shape, i)}
    return [pid for pid in leavers if pid in held]


def _rings(shape: Shape) -> set[int]:
    """The leavers that wait for each other in rings: their groups have no member but each other.

    Leavers hang on each other like a map of groups to groups: rings, and trees into them, which go first.
    """
    waiting = {shape.pid[i]: i for i in range(1, shape.target.count + 1) if _is_leaver(shape, i)}
    ready = _held(shape, waiting)
    while ready:
        node = waiting.pop(ready.pop(), 0)
        ready += [shape.group[node]] if node and shape.group[node] in waiting else []
    return set(waiting.values())
