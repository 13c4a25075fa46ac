"""Work in another pid namespace: a fresh one, for a restore, or that of a tree which shall be looked at.

Inside, every number is what the tree itself knows, and so is /proc: whatever works here works there unchanged. ::

    caller ── helper ── first process (pid 1) ── worker ── root …            a fresh namespace
                |            | the restore is done:
                x            init.S, 300 bytes ── root …

The helper exists because unshare(2) and setns(2) are for one's children, and for good. Until the end of the work each
of them dies with its parent, and with the first process the kernel ends everything in the namespace: there is nothing
to undo. What the namespace shares with ours is the file system: only /proc is its own, and mounts made later outside
show inside too.
"""

from __future__ import annotations

import os
from _functools import partial  # type: ignore[import-not-found]  # functools takes milliseconds

from replant.abi import libc, x86_64
from replant.abi.namespace import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    F_GETOWN,
    F_SETOWN,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
    MS_SLAVE,
)
from replant.errors import ReplantError
from replant.execute import init, worker
from replant.tracee import ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from replant.execute.worker import Answer

_LAST_PID = "/proc/sys/kernel/ns_last_pid"


def fresh(work: Callable[[], Answer]) -> Answer:
    """The answer of ``work``, done by the first process of a new pid namespace with a /proc of its own.

    The answer has ``root``, the number of a child of that process, which then becomes its init; added are ``outer``
    and ``init``, the numbers that both have here (0: it has ended meanwhile).

    :raises ReplantError: no namespace can be made, or what ``work`` raised; the namespace is gone.
    """
    return worker.run(partial(_fresh, work))


def _fresh(work: Callable[[], Answer], commit: Callable[[], None]) -> Answer:
    owned = [os.pipe2(os.O_CLOEXEC)[0] for _ in range(2)]
    try:
        libc.syscall(x86_64.unshare, CLONE_NEWPID | CLONE_NEWNS)
        libc.syscall(x86_64.mount, b"none\0", b"/\0", 0, MS_REC | MS_SLAVE, 0)
    except OSError as e:
        raise _refused(e) from e
    answer = worker.run(partial(_first, work, owned), then=_become_init)
    outer, first = (libc.syscall(x86_64.fcntl, fd, F_GETOWN, 0) for fd in owned)
    return {**answer, "outer": outer, "init": first}


def _become_init(answer: Answer) -> None:
    init.become(int(str(answer["root"])))


def _first(work: Callable[[], Answer], owned: list[int], commit: Callable[[], None]) -> Answer:
    """In process 1. A descriptor's owner is a process, whose number is another to whoever asks (fcntl(2))."""
    try:
        libc.syscall(x86_64.mount, b"proc\0", b"/proc\0", b"proc\0", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0)
    except OSError as e:
        raise _refused(e) from e
    answer = work()
    for fd, pid in zip(owned, (int(str(answer["root"])), os.getpid()), strict=True):
        libc.syscall_raw(x86_64.fcntl, fd, F_SETOWN, pid)
    init.queue_signals()
    commit()
    return answer


def begin_above(number: int) -> None:
    """Let the kernel give numbers above those of a tree to whomever it makes next; nobody else is there to mind."""
    with open(_LAST_PID, "w", encoding="ascii") as file:
        file.write(str(number))


def entered(pid: int, work: Callable[[], Answer], what: str) -> Answer:
    """The answer of ``work``, done in the pid and mount namespaces of process ``pid``, where its paths mean the same.

    :raises ReplantError: they cannot be entered, or what ``work`` raised.
    """
    return worker.run(partial(_entered, pid, work, what), what=what)


def _entered(pid: int, work: Callable[[], Answer], what: str, commit: Callable[[], None]) -> Answer:
    try:
        for name, flag in (("pid", CLONE_NEWPID), ("mnt", CLONE_NEWNS)):
            fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            libc.syscall(x86_64.setns, fd, flag)
            os.close(fd)
    except OSError as e:
        raise _refused(e) from e
    return worker.run(lambda _: work(), what=what)


def hold_init() -> None:
    """Stop the first process of the namespace until we end: it may end the namespace, and us, as its child dies."""
    ptrace.seize(1)
    ptrace.interrupt(1)
    wait.until_stopped(1)


def _refused(e: OSError) -> ReplantError:
    return ReplantError(
        f"a pid namespace cannot be made or entered: {e.strerror}",
        code="namespace",
        resource="pid namespace",
        hint="it takes CAP_SYS_ADMIN, and leave to mount /proc; in a container, restore without --new-pids",
    )
