"""All process trees of up to N tasks, by breadth-first search from a lone init; and how long their derivations are.

    python bench/derive/spaces.py --tasks 4 --subreapers --solve all

Two states that differ only in the pids given to tasks, groups and sessions are one. Zombies and the init count as
tasks. With --solve every state (or a sample) is derived, checked by the independent checker, and the length compared
with the shortest path, which the search knows.
"""

from __future__ import annotations

import argparse
import time
from itertools import permutations, product
from random import Random

from replant.derive import process_tree
from replant.derive.linux.check import START, differences, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Row = tuple[int, int, int, bool, bool]
    State = Mapping[int, Row]


def moves(state: State, most: int, subreapers: bool) -> Iterator[State]:
    """Every state one operation away that has at most ``most`` tasks."""
    used = {n for p, row in state.items() for n in (p, row[1], row[2])}
    fresh = next(n for n in range(2, 99) if n not in used)
    for actor, row in state.items():
        if row[3]:
            continue
        kids = [p for p, r in state.items() if r[0] == actor]
        ops: list[tuple[int | str, ...]] = [(actor, "wait", p) for p in kids if state[p][3]]
        if len(state) < most:
            ops += [(actor, "fork", fresh), (actor, "fork_sibling", fresh)]
        if actor != 1:
            ops += [(actor, "setsid"), (actor, "exit", 0)]
            kids.append(actor)
            if subreapers:
                ops.append((actor, "subreaper", 1 - row[4]))
        groups = {r[1] for r in state.values() if r[2] == row[2]}
        ops += [(actor, "setpgid", p, g) for p in kids for g in groups | {p} if g != state[p][1]]
        for op in ops:
            after = step(state, op)
            if after is not None:
                yield after


def canon(state: State) -> bytes:
    """The same bytes for all states that differ only in their numbers: the least of the candidates, as a table."""
    classes: dict[tuple[int, ...], list[int]] = {}
    for pid, row in state.items():
        if pid != 1:
            classes.setdefault(_mark(state, pid, row), []).append(pid)
    ordered = [classes[mark] for mark in sorted(classes)]
    if len(ordered) == len(state) - 1:
        return _table(state, [c[0] for c in ordered])
    return min(_table(state, [p for c in choice for p in c]) for choice in product(*map(permutations, ordered)))


def _mark(state: State, pid: int, row: Row) -> tuple[int, ...]:
    """What can be said of a task without naming numbers."""
    ppid, pgid, sid, dead, subreaper = row
    kids = group = session = 0
    for other in state.values():
        kids += other[0] == pid
        group += other[1] == pgid
        session += other[2] == sid
    here = pgid in state
    return (dead, subreaper, ppid == 1, pgid == 1, sid == 1, pgid == pid, sid == pid, kids, group, session, here)


def _table(state: State, order: list[int]) -> bytes:
    names = {pid: name for name, pid in enumerate(order, 2)}
    names[1] = 1
    cells = []
    for pid in order:
        ppid, pgid, sid, dead, subreaper = state[pid]
        for number in (pgid, sid):
            if number not in names:
                names[number] = len(names) + 1
        cells += (names[ppid], names[pgid], names[sid], dead + 2 * subreaper)
    return bytes(cells)


def thaw(table: bytes) -> dict[int, Row]:
    """A canonical form as a state."""
    state = dict(START)
    for i in range(0, len(table), 4):
        flags = table[i + 3]
        state[2 + i // 4] = (table[i], table[i + 1], table[i + 2], bool(flags & 1), bool(flags & 2))
    return state


class Space:
    """All states, each with the length of the shortest path to it."""

    def __init__(self, most: int, subreapers: bool, deepest: int = 1 << 30) -> None:
        self.depth: dict[bytes, int] = {b"": 0}
        edge, depth = [b""], 0
        while edge and depth < deepest:
            depth += 1
            edge = [table for known in edge for table in self._visit(known, depth, most, subreapers)]

    def _visit(self, known: bytes, depth: int, most: int, subreapers: bool) -> Iterator[bytes]:
        for after in moves(thaw(known), most, subreapers):
            table = canon(after)
            if table not in self.depth:
                self.depth[table] = depth
                yield table


def described(state: State) -> list[dict[str, object]]:
    """A state as a target."""
    return [
        {"pid": p, "ppid": r[0], "pgid": r[1], "sid": r[2], "state": "Z" if r[3] else "S", "subreaper": r[4]}
        for p, r in state.items()
        if p != 1
    ]


class Score:
    """How the derivations of many states compare with the shortest paths."""

    def __init__(self) -> None:
        self.states = self.failed = self.steps = self.shortest = 0
        self.over: dict[int, int] = {}
        self.worst: list[tuple[int, object]] = []

    def add(self, tree: list[dict[str, object]], shortest: int) -> None:
        """Derive and check one tree."""
        found = process_tree(tree)
        self.states += 1
        if not found.ok or differences(tree, found.ops):
            self.failed += 1
            print("FAILED", tree, found.as_dict())
            return
        excess = len(found.ops) - shortest
        self.steps += len(found.ops)
        self.shortest += shortest
        self.over[excess] = self.over.get(excess, 0) + 1
        if excess > 3 and len(self.worst) < 10:
            self.worst.append((excess, tree))

    def __str__(self) -> str:
        ratio = self.steps / max(1, self.shortest)
        over = dict(sorted(self.over.items()))
        return f"{self.states} states, {self.failed} failed, {ratio:.4f} of the shortest, excess {over}"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--tasks", type=int, default=4)
    words.add_argument("--subreapers", action="store_true")
    words.add_argument("--deepest", type=int, default=1 << 30)
    words.add_argument("--solve", default="", help="'all', or how many states to sample")
    words.add_argument("--show", type=int, default=0, help="print that many of the longest against the shortest")
    given = words.parse_args()
    began = time.perf_counter()
    space = Space(given.tasks, given.subreapers, given.deepest)
    spent = time.perf_counter() - began
    print(f"{len(space.depth)} states, depth {max(space.depth.values())}, {spent:.1f} s", flush=True)
    if given.solve:
        forms = list(space.depth)
        if given.solve != "all":
            forms = Random(1).sample(forms, min(len(forms), int(given.solve)))
        score = Score()
        for form in forms:
            score.add(described(thaw(form)), space.depth[form])
        print(score, f"{time.perf_counter() - began - spent:.1f} s")
        for excess, tree in score.worst[: given.show]:
            print(excess, tree)


if __name__ == "__main__":
    main()
