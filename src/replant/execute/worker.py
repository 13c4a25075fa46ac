"""A worker whose life hangs on its parent's until the point of no return.

A restore is made by a child process: it must wait for all its stubs, which would take away the statuses of the caller's
own children. And it makes the end of a restore one decision: until the commit the kernel kills the worker when its
parent dies, and all stubs with it (PTRACE_O_EXITKILL); from the commit on it finishes its work whatever happens to the
parent. The parent meanwhile does what can be done beside it, and must agree before the commit.
"""

from __future__ import annotations

import marshal
import os

from replant.abi import libc, x86_64
from replant.errors import Blocker, Bug, Refused, ReplantError
from replant.journal import current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import TypeVar

    E = TypeVar("E", bound=ReplantError)
    Answer = dict[str, object]
    Work = Callable[[Callable[[], None]], Answer]

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


def run(
    work: Work,
    meanwhile: Callable[[], None] = lambda: None,
    avoid: Container[int] = (),
    then: Callable[[Answer], None] | None = None,
    what: str = "restore",
) -> Answer:
    """The answer of ``work``, done in a child process whose pid is not in ``avoid``.

    ``work`` is given ``commit``, which waits until ``meanwhile`` has returned here; if it raises, ``commit`` does too.
    With ``then`` the child does not end after its answer but calls that, which replaces it by another program; once
    that runs it is nobody's worker any more. ``what`` it is that it does, for messages.

    :raises ReplantError: what ``work`` or ``meanwhile`` raised, or that the worker was killed.
    """
    answering, answer_in = os.pipe2(os.O_CLOEXEC)
    agreeing, agree_in = os.pipe2(os.O_CLOEXEC)
    pid = _fork(avoid)
    if pid == 0:
        os.close(agree_in)
        _child(answer_in, agreeing, work, then)
    os.close(answer_in)
    os.close(agreeing)
    try:
        meanwhile()
        _agree(agree_in)
    finally:
        os.close(agree_in)
        data = _read(answering)
        os.close(answering)
        answer: Answer = marshal.loads(data) if data else {}
        if then is None or not data or "error" in answer:
            os.waitpid(pid, 0)
    if not data:
        raise ReplantError(f"the {what} was killed; nothing of it is left", code="killed", hint="run it again")
    if "error" in answer:
        error = _error(answer)
        error.recorded = True
        raise error
    return answer


def _fork(avoid: Container[int]) -> int:
    """fork(2), again if the child got a number that is wanted; 0 in the child, which dies with us."""
    parent, unfit = os.getpid(), []
    while (pid := os.fork()) in avoid:
        unfit.append(pid)
    if pid == 0:
        libc.syscall(x86_64.prctl, _PR_SET_PDEATHSIG, _SIGKILL)
        # or it died before the kernel was told; a parent outside of the namespace has no number
        if os.getpid() in avoid or os.getppid() not in (parent, 0):
            os._exit(0)
    for each in unfit:
        os.waitpid(each, 0)
    return pid


def _agree(fd: int) -> None:
    try:
        os.write(fd, b"1")
    except BrokenPipeError:
        pass  # the worker has failed already, and says why


def _child(answer_in: int, agreeing: int, work: Work, then: Callable[[Answer], None] | None) -> None:
    def commit() -> None:
        if not os.read(agreeing, 1):
            raise ReplantError("the restore was given up", code="given-up")
        libc.syscall(x86_64.prctl, _PR_SET_PDEATHSIG, 0)

    try:
        answer = _answer(work, commit)
        _tell(answer_in, answer)
        current().close()
        if then is not None and "error" not in answer:
            then(answer)
    finally:
        os._exit(0)


def _answer(work: Work, commit: Callable[[], None]) -> Answer:
    try:
        return work(commit)
    except ReplantError as e:
        current().failure(e)
        return {**e.as_dict(), "exit_code": e.exit_code}
    except BaseException as e:
        import traceback

        from replant.abi.shortage import shortage

        current().failure(e)
        if known := shortage(e):
            return {**known.as_dict(), "exit_code": known.exit_code}
        return {"error": traceback.format_exc(), "code": "bug", "exit_code": Bug.exit_code}


def _tell(fd: int, answer: Answer) -> None:
    data = memoryview(marshal.dumps(answer))
    while data:
        data = data[os.write(fd, data) :]


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
