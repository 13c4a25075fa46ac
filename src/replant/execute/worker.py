"""A worker whose life hangs on its parent's until the point of no return.

A restore is made by a child process: it must be the parent of the seed and wait for all its stubs, which would take
away the statuses of the caller's own children. And it makes the end of a restore one decision: until the commit the
kernel kills the worker when its parent dies, and all stubs with it (PTRACE_O_EXITKILL); from the commit on it finishes
its work whatever happens to the parent.
"""

from __future__ import annotations

import marshal
import os

from replant.abi import libc, x86_64
from replant.errors import Blocker, Bug, Refused, ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    E = TypeVar("E", bound=ReplantError)
    Answer = dict[str, object]

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def commit() -> None:
    """In the worker: from here on the parent's death changes nothing."""
    libc.syscall(x86_64.prctl, _PR_SET_PDEATHSIG, 0)


def run(work: Callable[[], Answer]) -> Answer:
    """The answer of ``work``, done in a child process.

    :raises ReplantError: what it raised there, or that it was killed.
    """
    parent = os.getpid()
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(parent, writing, work)
    os.close(writing)
    try:
        data = _read(reading)
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
    if not data:
        raise ReplantError("the restore was killed; nothing of it is left", code="killed", hint="run it again")
    answer: Answer = marshal.loads(data)
    if "error" in answer:
        raise _error(answer)
    return answer


def _child(parent: int, writing: int, work: Callable[[], Answer]) -> None:
    try:
        libc.syscall(x86_64.prctl, _PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() == parent:  # else it died before the kernel was told
            _tell(writing, _answer(work))
    finally:
        os._exit(0)


def _answer(work: Callable[[], Answer]) -> Answer:
    try:
        return work()
    except ReplantError as e:
        return {**e.as_dict(), "exit_code": e.exit_code}
    except BaseException:
        import traceback

        return {"error": traceback.format_exc(), "code": "bug", "exit_code": Bug.exit_code}


def _tell(writing: int, answer: Answer) -> None:
    data = memoryview(marshal.dumps(answer))
    while data:
        data = data[os.write(writing, data) :]


def _read(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def _error(answer: Answer) -> ReplantError:
    """The error as it was raised, with its class."""
    if "blockers" in answer:
        return Refused(str(answer["error"]), [_plain(Blocker, b) for b in answer["blockers"]])  # type: ignore[attr-defined]
    return _plain(Bug if answer["exit_code"] == Bug.exit_code else ReplantError, answer)


def _plain(kind: type[E], answer: Answer) -> E:
    words = {k: answer.get(k) for k in ("code", "pid", "resource")}
    return kind(str(answer["error"]), hint=str(answer.get("hint") or ""), **words)  # type: ignore[arg-type]
