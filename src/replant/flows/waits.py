"""Whether a running tree waits in calls whose end the kernel forgets when it is stopped.

To see such ends takes BPF, some milliseconds before the freeze; most trees have none.
"""

from __future__ import annotations

import os

from replant.abi.ptrace import R8, R10, RDX
from replant.abi.restart import TIMEOUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY = 100  # threads, after which looking takes longer than preparing for it
_ARGUMENTS = {RDX: 3, R10: 4, R8: 5}  # words of /proc/PID/syscall


def any_known(pids: Sequence[int]) -> bool:
    """Whether a thread of these processes sleeps in one of `TIMEOUTS` and it ends, or there are too many to ask."""
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
    except OSError:  # it has ended, or may not be traced; the freeze will say
        return False
    register, unit = TIMEOUTS.get(int(words[0]), (0, 0)) if words[:1] != [b"running"] else (0, 0)
    value = int(words[_ARGUMENTS[register]], 16) if register else 0
    return value != 0 and not (unit and value >> 31 & 1)
