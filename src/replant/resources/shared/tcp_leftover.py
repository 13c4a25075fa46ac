"""Tables that hold off packets of connections: which are in use, which wait for a restore, which are left over."""

from __future__ import annotations

from replant.resources.shared.leftover import AWAY, IN_USE, LEFT_OVER, Leftover
from replant.resources.shared.packet_lock import Lock
from replant.resources.shared.tcp_diag import Diag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.resources.shared.packet_lock import Table

    Ends = tuple[str, bytes, bytes]


def tables(ends_of: Callable[[str], list[Ends] | None]) -> list[Leftover]:
    """All there are. ``ends_of`` an image tells of its connections the name of their table and both addresses."""
    lock = Lock()
    try:
        return [_judged(table, ends_of) for table in lock.tables()]
    finally:
        lock.close()


def _judged(table: Table, ends_of: Callable[[str], list[Ends] | None]) -> Leftover:
    state, why = (IN_USE, "a dump or a restore is at work") if table.held else _waiting(table, ends_of(table.image))
    return Leftover(table.name, "packets of TCP connections", table.image, state, why)


def _waiting(table: Table, ends: list[Ends] | None) -> tuple[str, str]:
    if ends is None:
        return LEFT_OVER, f"the image {table.image} is gone"
    own = [(local, peer) for name, local, peer in ends if name == table.name]
    if not own:
        return LEFT_OVER, f"{table.image} is another image now"
    with Diag() as diag:
        if any(diag.owner(*pair) for pair in own):
            return LEFT_OVER, "the tree runs: its connections are open, and held off"
    return AWAY, f"the image {table.image} waits to be restored"


def clear(names: Sequence[str]) -> None:
    """Take tables away."""
    lock = Lock()
    try:
        lock.lift(names)
    finally:
        lock.close()
