"""Descriptors of processes."""

from __future__ import annotations

import os
import select
import signal
import threading

from held import Check, Twin, raises

from replant.abi import x86_64
from replant.abi.libc import syscall

THREAD = os.O_EXCL


def _ready(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def _pid_of(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))


def living() -> Check:
    """Of itself, a child, a grandchild; shared by two processes, and by copies."""
    wanted = signal.SIGRTMIN + 2
    signal.pthread_sigmask(signal.SIG_BLOCK, [wanted])

    def grow() -> None:
        inner.append(Twin(taken))

    def taken() -> None:
        assert signal.sigtimedwait([wanted], 5) is not None

    inner: list[Twin] = []
    twin = Twin(grow, taken, lambda: inner[0].run())
    twin.run(0)
    with open(f"/proc/{twin.pid}/task/{twin.pid}/children") as file:
        grandchild = int(file.read())
    pids = (os.getpid(), twin.pid, grandchild)
    files = [os.pidfd_open(pid) for pid in pids]
    copy, another = os.dup(files[1]), os.pidfd_open(twin.pid, os.O_NONBLOCK)
    heir = Twin(lambda: signal.pidfd_send_signal(files[2], wanted))

    def check() -> None:
        assert [_pid_of(fd) for fd in (*files, copy, another)] == [*pids, twin.pid, twin.pid]
        assert not any(_ready(fd) for fd in files)
        signal.pidfd_send_signal(files[0], wanted)
        taken()
        signal.pidfd_send_signal(copy, wanted)
        twin.run(1)
        heir.run()
        twin.run(2)
        os.set_blocking(copy, False)
        assert not os.get_blocking(files[1])
        os.set_blocking(copy, True)

    return check


def dead() -> Check:
    """Of children that are gone, or wait to be reaped; held by two, and by copies."""
    gone, zombie = _child(7), _child(9)
    files = [os.pidfd_open(gone), os.pidfd_open(gone), os.pidfd_open(zombie)]
    copy = os.dup(files[0])
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    os.waitpid(gone, 0)
    heir = Twin(lambda: raises(3, lambda: signal.pidfd_send_signal(files[0], signal.SIGCONT)))  # ESRCH
    same = os.fstat(files[0]).st_ino == os.fstat(files[1]).st_ino

    def check() -> None:
        assert all(_ready(fd) for fd in (*files, copy))
        assert [_pid_of(fd) for fd in (*files, copy)] == [-1, -1, zombie, -1]
        heir.run()
        raises(10, lambda: os.waitid(os.P_PIDFD, copy, os.WEXITED))  # ECHILD
        status = os.waitid(os.P_PIDFD, files[2], os.WEXITED | os.WNOWAIT)
        assert status is not None and status.si_status == 9
        if same:
            assert os.fstat(files[0]).st_ino == os.fstat(files[1]).st_ino == os.fstat(copy).st_ino

    return check


def _child(status: int) -> int:
    child = os.fork()
    if child == 0:
        os._exit(status)
    return child


def of_the_first_thread() -> Check:
    fd = syscall(x86_64.pidfd_open, os.getpid(), THREAD)
    return lambda: _is(_pid_of(fd), os.getpid())


def _is(found: object, wanted: object) -> None:
    assert found == wanted, f"{found}, not {wanted}"


def of_a_thread() -> Check:
    waiting = threading.Event()
    told: list[int] = []
    began = threading.Event()

    def run() -> None:
        told.append(threading.get_native_id())
        began.set()
        waiting.wait()

    threading.Thread(target=run, daemon=True).start()
    began.wait()
    fd = syscall(x86_64.pidfd_open, told[0], THREAD)
    return lambda: _is(_pid_of(fd), told[0])
