"""Threads that a dumper that died has left on their way home.

They are out after some microseconds, as a rule. But their signals have been blocked meanwhile, and are handled on the
last steps of that way: until the handler returns, the thread depends on what stands in the padding of the vDSO. Before
that is written again every thread has to be out of it, and off it.
"""

from __future__ import annotations

import time

from replant.abi.mman import PAGE
from replant.abi.ptrace import RSP, USER_CS
from replant.errors import Blocker

from . import memory, seize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task import FrozenTask, FrozenThread

_DEEP = 1 << 18  # bytes of stack that a handler may have used
_PATIENCE = 2.0


def dispel(task: FrozenTask, code: int) -> None:
    """Let threads run that are still to come back to the blob at ``code``, one by one, until none is.

    :raises Blocker: a signal handler does not return.
    """
    deadline = time.monotonic() + _PATIENCE
    for thread in task.threads:
        while _comes_back(thread, code):
            if time.monotonic() > deadline:
                raise Blocker(
                    f"task {thread.tid} has been in a signal handler since an earlier dump was killed",
                    code="left-behind",
                    pid=thread.pid,
                    resource=f"task {thread.tid}",
                    hint="try again once it is out of that handler",
                )
            seize.let_run(thread)


def _comes_back(thread: FrozenThread, code: int) -> bool:
    """Whether a signal frame on the stack (``struct sigcontext``: …, ip, flags, cs, …) leads into the blob."""
    start = int.from_bytes(thread.registers[RSP : RSP + 8], "little") & ~7
    words = memoryview(_stack(thread.pid, start)).cast("Q").tolist()
    last = code + PAGE & -PAGE
    return any(code <= ip < last and cs & 0xFFFF == USER_CS for ip, cs in zip(words, words[2:], strict=False))


def _stack(pid: int, start: int) -> bytes:
    """What is mapped from ``start`` on, a quarter of a mebibyte at most."""
    data = b""
    while len(data) < _DEEP:
        piece = min(PAGE - start % PAGE if not data else PAGE, _DEEP)
        try:
            data += memory.read(pid, start + len(data), piece)
        except OSError:
            break
    return data
