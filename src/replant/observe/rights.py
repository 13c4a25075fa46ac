"""Who may know: BPF reads all of the kernel's memory, its user may not be meant to.

The rule is the kernel's own for /proc/PID/maps, PTRACE_MODE_READ: it is asked of the kernel, with security modules and
all, by reading a link that it guards. Root with CAP_SYS_PTRACE is not asked about.
"""

from __future__ import annotations

import os

from . import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CAP_SYS_PTRACE = 19


def hidden(pids: Iterable[object]) -> frozenset[object]:
    """Those of the processes that the caller may not know more about than that they exist."""
    if os.geteuid() == 0 and _may_ptrace_all():
        return frozenset()
    return frozenset(pid for pid in set(pids) if not _may_read(pid))


def _may_ptrace_all() -> bool:
    effective = procfs.status_text(os.getpid()).cap_effective
    return isinstance(effective, int) and bool(effective >> _CAP_SYS_PTRACE & 1)


def _may_read(pid: object) -> bool:
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        # gone by now counts as forbidden: it cannot be asked about any more
        return False
    return True
