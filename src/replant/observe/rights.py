"""Who may know: BPF reads all of the kernel's memory, its user may not be meant to.

The rule is the kernel's own for /proc/PID/maps, PTRACE_MODE_READ: it is asked of the kernel, with security modules and
all, by reading a link that it guards. Root with CAP_SYS_PTRACE is not asked about.
"""

from __future__ import annotations

import os

from ..abi import capability, x86_64
from ..abi.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def may_know_all() -> bool:
    """Whether the caller is root with CAP_SYS_PTRACE."""
    return os.geteuid() == 0 and _may_ptrace_all()


def hidden(pids: Iterable[object]) -> frozenset[object]:
    """Those of the processes that the caller may not know more about than that they exist."""
    if may_know_all():
        return frozenset()
    return frozenset(pid for pid in set(pids) if not _may_read(pid))


def _may_ptrace_all() -> bool:
    data = bytearray(capability.SIZE)
    syscall(x86_64.capget, capability.SELF, data)
    return bool(capability.unpack(data)[0] >> capability.CAP_SYS_PTRACE & 1)


def _may_read(pid: object) -> bool:
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        # gone by now counts as forbidden: it cannot be asked about any more
        return False
    return True
