from __future__ import annotations

import os
import select
import signal
import struct
import threading
from collections.abc import Iterator

import pytest
from facts import World, module_of

from replant.abi import pidfd, x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker


@pytest.fixture
def child() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except ProcessLookupError:
        pass


class Family(World):
    """A tree with further processes."""

    members: frozenset[int] = frozenset()

    def pids(self) -> set[int]:
        return {os.getpid(), *self.members}


@pytest.fixture
def family(child: int) -> Iterator[Family]:
    with Family() as world:
        world.members = frozenset([child])
        yield world


@pytest.mark.parametrize("flags", [0, os.O_NONBLOCK])
def test_the_same_process(family: Family, child: int, flags: int) -> None:
    files, (new,) = family.again("pidfd", os.pidfd_open(child, flags))
    family.unchanged(files, [new])
    assert not select.select([new], [], [], 0)[0]
    signal.pidfd_send_signal(new, signal.SIGKILL)
    assert select.select([new], [], [], 10)[0]
    assert os.waitid(os.P_PIDFD, new, os.WEXITED).si_pid == child


def test_its_holder_opens_it(family: Family, child: int) -> None:
    files = family.read("pidfd", family.own(os.pidfd_open(child)))
    assert module_of("pidfd").maker(files) == os.getpid()


@pytest.mark.parametrize("how", ["exits", "is killed"])
def test_gone(family: Family, how: str) -> None:
    child = os.fork()
    if child == 0:
        if how == "exits":
            os._exit(7)
        signal.pause()
    files = [os.pidfd_open(child), os.pidfd_open(child)]
    if how != "exits":
        os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    status = exit_status(files[0])
    rows, new = family.again("pidfd", *files)
    family.unchanged(rows, new)
    assert all(select.select([fd], [], [], 0)[0] for fd in new)
    assert exit_status(new[0]) == status
    if status >= 0:
        assert status == (7 << 8 if how == "exits" else signal.SIGTERM)


def exit_status(fd: int) -> int:
    """What the kernel tells of the end of a process that has been reaped; -1: nothing."""
    room = bytearray(pidfd.INFO_SIZE)
    struct.pack_into("=Q", room, 0, pidfd.PIDFD_INFO_EXIT)
    try:
        syscall(x86_64.ioctl, fd, pidfd.PIDFD_GET_INFO, room)
    except OSError:
        return -1
    told = struct.unpack_from("=Q", room)[0] & pidfd.PIDFD_INFO_EXIT
    return struct.unpack_from("=i", room, pidfd.EXIT_CODE_AT)[0] if told else -1


def refused(world: World, fd: int, words: str) -> None:
    with pytest.raises(Blocker, match=words):
        world.read("pidfd", world.own(fd))


def test_outside_of_the_tree(world: World, child: int) -> None:
    refused(world, os.pidfd_open(child), "outside")


def test_of_a_thread(world: World) -> None:
    wait, began = threading.Event(), threading.Event()

    def run() -> None:
        began.set()
        wait.wait()

    thread = threading.Thread(target=run)
    thread.start()
    began.wait()
    try:
        refused(world, syscall(x86_64.pidfd_open, thread.native_id or 0, os.O_EXCL), "thread")  # PIDFD_THREAD
    except OSError:
        pytest.skip("no pidfds of threads here")
    finally:
        wait.set()
        thread.join()
