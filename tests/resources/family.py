"""Families of the sorts named on the command line, whose heads check that all are to each other as before."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import selfcheck
from terminals import Actor, came

from replant.abi import x86_64
from replant.abi.libc import syscall

Check = Callable[[], None]
WALL = 0x40000000
CLOCKS = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC_RAW)


def count(*numbers: int) -> None:
    """Count these signals."""
    for number in numbers:
        signal.signal(number, lambda n, _: came.__setitem__(n, came.get(n, 0) + 1))


def status(pid: int, *names: str) -> list[str]:
    """Lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return [lines[name].split()[0] for name in names]


def until_state(pid: int, letter: str) -> None:
    """Wait until a process is in that state."""
    while status(pid, "State") != [letter]:
        time.sleep(0.001)


def bit(number: int) -> int:
    return 1 << number - 1


def stopped() -> Check:
    """A child that is stopped, which its parent has not been told yet; a signal that it handles waits in it."""
    child = Actor(lambda: count(signal.SIGUSR2))
    times = 0

    def stop() -> None:
        os.kill(child.pid, signal.SIGSTOP)
        until_state(child.pid, "T")
        os.kill(child.pid, signal.SIGUSR2)

    def check() -> None:
        nonlocal times
        times += 1
        news = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG)
        assert news and news.si_status == signal.SIGSTOP, news
        assert os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG) is None, "news that is none"
        assert status(child.pid, "State") == ["T"]
        os.kill(child.pid, signal.SIGCONT)
        assert child.does("came.get(12)") == times, "the signal that waited"
        stop()

    stop()
    return check


def told() -> Check:
    """A child that is stopped, as its parent knows: it is not told again."""
    child = Actor(lambda: os.setpgid(0, 0))  # the head's group is orphaned: nothing there stops by SIGTSTP
    os.kill(child.pid, signal.SIGTSTP)
    assert os.waitid(os.P_PID, child.pid, os.WSTOPPED)

    def check() -> None:
        assert os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOHANG) is None
        assert status(child.pid, "State") == ["T"]

    return check


def pending_stops() -> Check:
    """Stopped children with a stop signal waiting: for process, thread or both, a blocked one, a second SIGSTOP."""
    ways = {
        "process": lambda pid: os.kill(pid, signal.SIGTSTP),
        "thread": lambda pid: syscall(x86_64.tgkill, pid, pid, signal.SIGTSTP),
        "both": lambda pid: (os.kill(pid, signal.SIGTTOU), syscall(x86_64.tgkill, pid, pid, signal.SIGTTOU)),
        "blocked": lambda pid: os.kill(pid, signal.SIGTTIN),
        "process twice": lambda pid: os.kill(pid, signal.SIGSTOP),
        "thread twice": lambda pid: syscall(x86_64.tgkill, pid, pid, signal.SIGSTOP),
        "both twice": lambda pid: (os.kill(pid, signal.SIGSTOP), syscall(x86_64.tgkill, pid, pid, signal.SIGSTOP)),
    }
    children = {}
    for name, send in ways.items():
        child = Actor(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTIN]))
        os.kill(child.pid, signal.SIGSTOP)
        until_state(child.pid, "T")
        send(child.pid)
        children[name] = (child, status(child.pid, "State", "SigPnd", "ShdPnd", "SigBlk"))

    def check() -> None:
        for name, (child, before) in children.items():
            assert status(child.pid, "State", "SigPnd", "ShdPnd", "SigBlk") == before, name

    return check


def dead() -> Check:
    """Dead children whom nobody has waited for: by a code and by a signal, a leader of a living group among them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def die() -> tuple[int, int, int, Actor]:
        code, killed, leader = os.fork(), 0, 0
        if code == 0:
            os._exit(7)
        killed = os.fork()
        if killed == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        leader = os.fork()
        if leader == 0:
            os.setpgid(0, 0)
            os._exit(0)
        for pid in (code, killed):
            until_state(pid, "Z")
        member = Actor()
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(member.pid, leader)
        until_state(leader, "Z")
        return code, killed, leader, member

    family = die()

    def check() -> None:
        nonlocal family
        code, killed, leader, member = family
        assert os.getpgid(member.pid) in (leader, os.getpgid(0))
        for pid, wanted in ((code, 7 << 8), (killed, signal.SIGTERM), (leader, 0)):
            assert os.waitpid(pid, os.WNOHANG) == (pid, wanted)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
            raise AssertionError("a child can be waited for twice")
        member.has_ended()
        family = die()

    return check


def exit_signals() -> Check:
    """Children that tell their end by another signal, or by none; and the parent waits for one that is alive."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    def born(number: int) -> int:
        pid = syscall(x86_64.clone, number, 0, 0, 0, 0)
        while pid == 0:
            signal.pause()
        return pid

    children = {number: born(number) for number in (signal.SIGUSR2, 0)}

    def check() -> None:
        for number, pid in children.items():
            os.kill(pid, signal.SIGTERM)
            if number:
                news = signal.sigtimedwait([number], 20)
                assert news and (news.si_pid, news.si_status) == (pid, signal.SIGTERM), news
            assert os.waitpid(pid, WALL) == (pid, signal.SIGTERM)
            children[number] = born(number)

    return check


def orphans() -> Check:
    """A grandchild that fell to the head, a subreaper; later ones do as well, and past one who has ceased to be one."""
    syscall(x86_64.prctl, 36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def orphan() -> int:
        between = Actor()
        between.does("\nchild = os.fork()\nwhile not child: signal.pause()")
        found: int = between.does("child")
        between.has_ended()
        return found

    first = orphan()
    between = Actor(lambda: syscall(x86_64.prctl, 36, 1, 0, 0, 0))
    between.does("\ninner = Actor()")
    between.does("\ninner.does('\\nchild = os.fork()\\nwhile not child: signal.pause()')")
    inner = between.does("inner.does('child')")
    between.does("inner.has_ended()")

    def check() -> None:
        assert status(first, "PPid") == [str(os.getpid())]
        assert status(inner, "PPid") == [str(between.pid)]
        later = orphan()
        assert status(later, "PPid") == [str(os.getpid())]
        os.kill(later, signal.SIGKILL)
        os.waitpid(later, 0)

    return check


def identity() -> Check:
    """What procfs tells of a process; and nothing foreign is in it: no child, thread, descriptor or disposition."""
    files = ("cmdline", "environ", "auxv", "comm", "limits", "personality")
    child = Actor()

    def seen() -> dict[str, object]:
        found: dict[str, object] = {name: open(f"/proc/self/{name}", "rb").read() for name in files}  # noqa: SIM115
        found["exe"], found["cwd"] = os.readlink("/proc/self/exe"), os.readlink("/proc/self/cwd")
        found["fds"] = sorted(set(os.listdir("/proc/self/fd")))
        found["threads"] = os.listdir("/proc/self/task")
        with open(f"/proc/self/task/{os.getpid()}/children") as listed:
            found["children"] = listed.read()
        found["signals"] = status(os.getpid(), "SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "TracerPid")
        found["place"] = (os.getpid(), os.getpgid(0), os.getsid(0), os.getppid())
        found["child"] = child.does("(os.getpid(), os.getpgid(0), os.getsid(0), os.getppid())")
        return found

    before: dict[str, object] = {}

    def check() -> None:
        now = seen()
        root_parent = now.pop("place")
        before.update(now) if not before else None
        assert now == before, [name for name in now if now[name] != before[name]]
        assert root_parent == (os.getpid(), os.getpid(), os.getpid(), os.getppid())
        assert now["child"] == (child.pid, os.getpid(), os.getpid(), os.getpid())

    return check


def clocks() -> Check:
    """The monotonic clocks never go back, and CPU time of a thread that spins goes on."""
    last = [
        time.clock_gettime(clock) for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC_RAW)
    ]
    spins = [0]

    def spin() -> None:
        while True:
            spins[0] += 1

    threading.Thread(target=spin, daemon=True).start()

    def check() -> None:
        now = [time.clock_gettime(c) for c in CLOCKS]
        assert all(a <= b for a, b in zip(last, now, strict=True)), (last, now)
        last[:] = now
        before = spins[0]
        while spins[0] == before:
            time.sleep(0.001)

    return check


if __name__ == "__main__":
    checks = [globals()[name]() for name in sys.argv[1:]]

    def check_all() -> None:
        for check in checks:
            try:
                check()
            except BaseException:
                traceback.print_exc()
                raise

    selfcheck.serve(check_all)
