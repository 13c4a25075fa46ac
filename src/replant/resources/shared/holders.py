"""Who else has a file open: a look at every process, for kinds of which few are ever open."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container


def outside(dev: int, ino: int, tree: Container[int] = ()) -> list[int]:
    """The processes that are not in ``tree``, nor ourselves, and have that inode open as a descriptor."""
    ours = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return [pid for pid in pids if pid not in tree and pid != ours and (dev, ino) in _inodes(pid)]


def _inodes(pid: int) -> set[tuple[int, int]]:
    found = set()
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                try:
                    st = entry.stat()
                except OSError:  # closed meanwhile, or a link that leads nowhere
                    continue
                found.add((st.st_dev, st.st_ino))
    except OSError:  # it has ended
        pass
    return found
