"""Wishes for short derivations: session leaders best born into a session that one of their children belongs to.

A task whose parent leads another session can be created by that parent before its setsid, if the parent is born into
the task's session. The other way, the whole session below its parent, costs lifts. Wishes never cost a solution: the
search drops those that cannot be had.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .target import Target

_LONGEST = 16  # leaders in a row, each the parent of the next, that may all be born into one session


def births(target: Target) -> dict[int, int]:
    """For some leaders the session (an index) to be born into."""
    parent, session = target.parent, target.session
    wishes: dict[int, int] = {}
    foreign: dict[int, dict[int, None]] = {}
    for i in range(1, target.count + 1):
        over, home = parent[i], session[i]
        if over and home not in (0, i, over) and session[over] != home:
            foreign.setdefault(home, {})[over] = None
    for home, parents in foreign.items():
        for over in parents:
            if session[over] == over and _helps(target, home, over, len(parents)):
                for leader in _line(target, home, over):
                    wishes.setdefault(leader, home)
    return wishes


def _helps(target: Target, home: int, over: int, parents: int) -> bool:
    """A leader that is gone hangs below its members' only parent at no cost, a living one below its own parent."""
    return parents > 1 if home > target.count else target.parent[home] != over


def _line(target: Target, home: int, leader: int) -> list[int]:
    """``leader`` and the leaders above it that have to be born into ``home`` so that it can be."""
    parent, session = target.parent, target.session
    line = [leader]
    while len(line) < _LONGEST:
        over = parent[line[-1]]
        if session[over] == home or over == parent[home]:
            return line
        if not over or session[over] != over:
            break
        line.append(over)
    return line[:1]
