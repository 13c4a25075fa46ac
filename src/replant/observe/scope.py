"""The processes of a pid namespace, from procfs: all that have a number there, from within too."""

from __future__ import annotations

import os
from fcntl import ioctl

from ..abi.namespace import NS_GET_PARENT
from ..errors import TaskGone
from . import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def inside(pid: int) -> list[int]:
    """All processes that have a number in the pid namespace of ``pid`` and that the caller may ptrace.

    :raises TaskGone: ``pid`` has ended.
    :raises PermissionError: the caller may not ptrace it.
    """
    namespace = next(_namespaces(pid))
    known: dict[int, bool] = {}
    found = []
    for other in procfs.pids():
        try:
            own = next(_namespaces(other))
            if own not in known:
                known[own] = namespace in _namespaces(other)
        except (TaskGone, PermissionError):
            continue
        if known[own]:
            found.append(other)
    return found


def _namespaces(pid: int) -> Iterator[int]:
    """Inode numbers of the pid namespaces of a process, from its own outwards as far as the caller may see."""
    try:
        fd = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise TaskGone(pid, "its pid namespace was looked for") from None
    try:
        while True:
            yield os.fstat(fd).st_ino
            try:
                outer = ioctl(fd, NS_GET_PARENT)
            except PermissionError:  # the initial one, or the caller's own
                return
            os.close(fd)
            fd = outer
    finally:
        os.close(fd)
