"""Whether a running tree waits in calls whose end the kernel forgets when it is stopped.

To see such ends takes BPF, some milliseconds before the freeze; most trees have none.
"""

from __future__ import annotations

import os

from replant.abi import socket, x86_64
from replant.abi.libc import syscall
from replant.abi.ptrace import R8, R10, RDX
from replant.abi.restart import SOCKET_WAITS, TIMEOUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY = 100  # threads, after which looking takes longer than preparing for it
_OPTIONS = (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)
_ARGUMENTS = {RDX: 2, R10: 3, R8: 4}  # of /proc/PID/syscall


def any_known(pids: Sequence[int]) -> bool:
    """Whether a thread of these processes sleeps in such a call and it ends, or there are too many to ask."""
    threads = [(pid, tid) for pid in pids for tid in _threads(pid)]
    return len(threads) > _MANY or any(_waits(pid, tid) for pid, tid in threads)


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:  # it has ended
        return []


def _waits(pid: int, tid: str) -> bool:
    try:
        with open(f"/proc/{pid}/task/{tid}/syscall", "rb", buffering=0) as file:
            words = (file.read(256) or b"").split()
        call, *arguments = (int(word, 0) for word in words[:7]) if words[:1] != [b"running"] else (-1,)
        if call in SOCKET_WAITS:
            return _has_timeout(pid, arguments[0])
    except OSError:  # it has ended, or may not be traced; the freeze will say
        return False
    register, unit = TIMEOUTS.get(call, (0, 0))
    value = arguments[_ARGUMENTS[register]] if register else 0
    return value != 0 and not (unit and value >> 31 & 1)


def _has_timeout(pid: int, fd: int) -> bool:
    """Whether a descriptor is a socket with a timeout. :raises OSError: it is closed by now, or may not be got."""
    if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
        return False
    process = os.pidfd_open(pid)
    try:
        theirs = syscall(x86_64.pidfd_getfd, process, fd, 0)
    finally:
        os.close(process)
    try:
        return any(any(socket.get(theirs, socket.SOL_SOCKET, option, 16) or b"") for option in _OPTIONS)
    finally:
        os.close(theirs)
