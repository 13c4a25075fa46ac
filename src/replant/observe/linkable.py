"""Which open files may be given a name though they have none: those of open(2) with O_TMPFILE but without O_EXCL.

The kernel keeps that in a bit of the inode (I_LINKABLE) and tells nobody; to try it out would use it up. The bit has
had several numbers: it is the one in which two nameless files of our own differ.
"""

from __future__ import annotations

import os

from replant.observe.facts import File
from replant.observe.field import MISSING
from replant.observe.observer import Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


def linkable(pids: Iterable[int], directory: str) -> set[tuple[int, int]] | None:
    """(pid, descriptor) of those held by some processes; None: BPF, which alone can tell, cannot be used here.

    ``directory`` is one in which two nameless files can be made for a moment.
    """
    try:
        free = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0)
        bound = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | os.O_EXCL, 0)
    except OSError:  # read-only, or a filesystem without O_TMPFILE
        return None
    try:
        rows: Sequence[tuple[Any, ...]] = (
            Observer().look(File, ["pid", "fd", "inode_state"], pids=[*pids, os.getpid()]).records
        )
    finally:
        os.close(free)
        os.close(bound)
    states: dict[tuple[int, int], int] = {(pid, fd): state for pid, fd, state in rows if state is not MISSING}
    own = os.getpid()
    if not states.keys() >= {(own, free), (own, bound)}:
        return None
    bit = states[own, free] & ~states[own, bound]
    return {holder for holder, state in states.items() if state & bit}
