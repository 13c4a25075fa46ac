"""From the creation tree to the tasks that will exist: who is created how, and which helpers come in between.

A task whose parent is not its creator gets there in one of three ways, the cheapest first: as a *sibling* of its
creator (``CLONE_PARENT``), if both end under the same parent; created by a task that *dies* anyway, and so hands its
children up; or below a *helper* that exists to die. A process group whose leader is gone needs the leader for a while:
that helper creates the group's first members, so that they are born into the group.
"""

from __future__ import annotations

from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from ..lineage import Growth
    from .target import Target


class Shape:
    """The tasks to create, as parallel lists; 0..``target.count`` are those of the target.

    ``creator``: who calls fork. ``wanted``: the final parent. ``born``: the session at birth (an index). ``session``:
    the final one. ``group``: the final group's number, for helpers of no group the one they should be created in.
    ``own``: has to lead a group of its number. ``sibling``: created by CLONE_PARENT. ``through``: something below is
    to become a child of its creator. ``lands``: who gets the children of one that dies.
    """

    def __init__(self, target: Target, growth: Growth, avoid: Container[int] = ()) -> None:
        self.target = target
        self.pid = target.pid.copy()
        self.group = target.pgid.copy()
        self.session = target.session.copy()
        self.creator = growth.parent
        self.born = growth.born
        self.born[0] = 0
        self.wanted = target.parent.copy()
        size = len(self.pid)
        for leader in range(target.count + 1, size):
            self.wanted[leader] = self.creator[leader]
        self.dying = bytearray(target.zombie)
        self.own = bytearray(size)
        self.sibling = bytearray(size)
        self.through = bytearray(size)
        self.lands: dict[int, int] = {}
        self.numbers = _free_numbers(target, avoid)
        lifted = [i for i in range(1, size) if self.wanted[i] != self.creator[i]]
        self._mark_through(lifted)
        self._add_group_leaders(self._groups_without_leader())
        self.first_helper = len(self.pid)
        self._join_at_birth()
        self._place_lifted()

    def add(self, pid: int, creator: int, session: int, group: int) -> int:
        """A further task that is to die: its index."""
        self.pid.append(pid)
        self.creator.append(creator)
        self.wanted.append(creator)
        self.session.append(session)
        self.born.append(session)
        self.group.append(group)
        for flags in (self.own, self.sibling, self.through):
            flags.append(0)
        self.dying.append(1)
        return len(self.pid) - 1

    def _mark_through(self, lifted: list[int]) -> None:
        """Mark the tasks that must stay below their creator until something below them has been lifted to it."""
        targets = {self.wanted[i] for i in lifted} - {0}
        if not targets:
            return
        depth = depths(self.creator)
        path: list[int] = [0] * (max(depth) + 1)
        marked = set(lifted)
        for node in preorder(self.creator):
            path[depth[node]] = node
            if node in marked and self.wanted[node]:
                self.through[path[depth[self.wanted[node]] + 1]] = 1

    def _groups_without_leader(self) -> dict[int, list[int]]:
        """Mark who has to lead a group; :return: the members of each group whose leader has to be made up."""
        target, index = self.target, self.target.index
        session, own = self.session, self.own
        orphaned: dict[int, list[int]] = {}
        for i in range(1, target.count + 1):
            group = self.group[i]
            leader = index.get(group)
            if leader is None:
                if group != target.pgid[0] and group not in target.outside.groups:
                    orphaned.setdefault(group, []).append(i)
            elif session[leader] != leader:
                own[leader] = 1
        return orphaned

    def _add_group_leaders(self, orphaned: dict[int, list[int]]) -> None:
        """Make up the leaders of groups that have none, where most of the group's first members are created."""
        for group, members in orphaned.items():
            creator, wanted = self._most_common_place(group, members)
            leader = self.add(group, creator, self.session[members[0]], group)
            self.own[leader] = 1
            lifts = wanted != creator and wanted != self.wanted[creator]
            if lifts:
                self.lands[leader] = wanted
            else:
                self.wanted[leader] = wanted
            for i in members:
                if self.creator[i] == creator and self.wanted[i] == wanted and (lifts or not self._needs_lift(i)):
                    self.creator[i] = leader

    def _most_common_place(self, group: int, members: list[int]) -> tuple[int, int]:
        """Creator and parent of most members that could not be born into the group; a place that needs a lift first."""
        places: dict[tuple[bool, int, int], int] = {}
        for i in members:
            if self.group[self.creator[i]] != group or len(members) == 1:
                place = (self._needs_lift(i), self.creator[i], self.wanted[i])
                places[place] = places.get(place, 0) + 1
        if not places:
            return self.creator[members[0]], self.creator[members[0]]
        lifts, creator, wanted = max(places, key=lambda place: (place[0], places[place]))
        if lifts and wanted == self.wanted[creator]:
            return creator, creator
        return creator, wanted

    def _needs_lift(self, i: int) -> bool:
        """Whether only a death can bring task ``i`` to its parent."""
        creator, wanted = self.creator[i], self.wanted[i]
        return wanted != creator and (wanted != self.wanted[creator] or self.through[i] == 1 or not creator)

    def _join_at_birth(self) -> None:
        """Let a group's leader create others of the group: its siblings to be, or what its death hands to the init.

        A task born into its group saves the joining. A founder of a session has a group to be born into if a child
        of its birth session does.
        """
        parents = set(self.creator)
        early: dict[int, int] = {}
        for i in range(1, self.target.count + 1):
            creator = self.creator[i]
            if self.session[creator] == creator and self.born[i] != creator and self.session[i] != i and creator:
                early.setdefault(creator, self.group[i])
        for i in range(1, self.first_helper):
            group = early.get(i, 0) if self.session[i] == i else self.group[i]
            if group and group != self.pid[i] and not self.own[i] and group != self.group[self.creator[i]]:
                self._create_by(self.target.index.get(group, 0), i, leaf=i not in parents)

    def _create_by(self, leader: int, i: int, *, leaf: bool) -> None:
        """Let ``leader`` create task ``i`` if that brings it to its parent at no cost."""
        if not leader or not self.own[leader] or self.born[i] != self.session[leader]:
            return
        beside = self.creator[leader] == self.creator[i]
        if not beside and (not leaf or self._is_below(leader, i)):
            return
        as_sibling = self.wanted[leader] == self.wanted[i] and not self.through[i]
        if as_sibling or (self.wanted[i] == 0 and self.dying[leader] and self.lands.setdefault(leader, 0) == 0):
            self.creator[i] = leader

    def _is_below(self, node: int, other: int) -> bool:
        """Whether ``other`` is above ``node``, or so far away that nobody wants to know."""
        for _ in range(64):
            if not node or node == other:
                return node == other
            node = self.creator[node]
        return True

    def _place_lifted(self) -> None:
        """Decide for every task whose parent is not its creator how it gets there."""
        spare: dict[tuple[int, int], list[int]] = {}
        for i in range(1, len(self.pid)):
            if self.dying[i] and self.wanted[i] == self.creator[i]:
                spare.setdefault((self.creator[i], self.born[i]), []).append(i)
        helpers: dict[tuple[int, int, int], int] = {}
        for i in range(1, self.first_helper):
            creator, wanted = self.creator[i], self.wanted[i]
            if wanted == creator:
                continue
            if creator and wanted == self.wanted[creator] and not self.through[i]:
                self.sibling[i] = 1
            elif self.dying[creator] and self.lands.setdefault(creator, wanted) == wanted:
                continue
            else:
                self.creator[i] = self._lifter(i, spare, helpers)

    def _lifter(self, i: int, spare: dict[tuple[int, int], list[int]], helpers: dict[tuple[int, int, int], int]) -> int:
        """One that dies between the creator of ``i`` and ``i``: a task that is to die anyway, or a helper."""
        creator, wanted, born = self.creator[i], self.wanted[i], self.born[i]
        for other in spare.get((creator, born), ()):
            if other != i and self.lands.setdefault(other, wanted) == wanted:
                return other
        key = (creator, born, wanted)
        if key not in helpers:
            helpers[key] = self.add(next(self.numbers), creator, born, self.group[i])
            self.lands[helpers[key]] = wanted
        return helpers[key]


def _free_numbers(target: Target, avoid: Container[int]) -> Iterator[int]:
    """Pids that nothing in the tree bears as pid, group or session."""
    taken: set[int] = set()
    for number in count(2):
        if not taken:
            taken = set(target.index).union(target.pgid, target.outside.groups, (target.outside.sid,))
        if number not in taken and number not in avoid:
            yield number


def kids_of(creator: list[int]) -> tuple[list[int], list[int]]:
    """Children as linked lists, in the order of their indices: the first of each node, the next of each child."""
    first, following = [0] * len(creator), [0] * len(creator)
    for i in range(len(creator) - 1, 0, -1):
        following[i] = first[creator[i]]
        first[creator[i]] = i
    return first, following


def preorder(creator: list[int]) -> Iterator[int]:
    """Every node after its creator, whole subtrees together."""
    first, following = kids_of(creator)
    node = 0
    while True:
        yield node
        if first[node]:
            node = first[node]
            continue
        while node and not following[node]:
            node = creator[node]
        if not node:
            return
        node = following[node]


def depths(creator: list[int]) -> list[int]:
    """How many creators stand above each node."""
    depth = [0] * len(creator)
    for node in preorder(creator):
        if node:
            depth[node] = depth[creator[node]] + 1
    return depth
