from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest
from facts import World, module_of

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
    fd = os.pidfd_open(child, flags)
    files, (new,) = family.again("pidfd", fd)
    family.attach(files[0], new)
    family.unchanged(files, [new])
    assert not select.select([new], [], [], 0)[0]
    signal.pidfd_send_signal(new, signal.SIGKILL)
    assert select.select([new], [], [], 10)[0]
    assert os.waitid(os.P_PIDFD, new, os.WEXITED).si_pid == child


def test_itself(world: World) -> None:
    files, (new,) = world.again("pidfd", os.pidfd_open(os.getpid()))
    world.attach(files[0], new)
    world.unchanged(files, [new])


def test_close_on_exec_stays(family: Family, child: int) -> None:
    files, (new,) = family.again("pidfd", os.pidfd_open(child))
    for inheritable in (True, False):
        os.set_inheritable(new, inheritable)
        family.attach(files[0], new)
        assert os.get_inheritable(new) == inheritable


def refused(world: World, fd: int, words: str) -> None:
    with pytest.raises(Blocker, match=words):
        world.read("pidfd", world.own(fd))


def test_outside_of_the_tree(world: World, child: int) -> None:
    refused(world, os.pidfd_open(child), "outside")


def test_gone(family: Family, child: int) -> None:
    fd = os.pidfd_open(child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    refused(family, fd, "gone")


def test_of_a_thread(family: Family, child: int) -> None:
    try:
        fd = os.pidfd_open(child, os.O_EXCL)  # PIDFD_THREAD
    except OSError:
        pytest.skip("no pidfds of threads here")
    refused(family, fd, "thread")


def test_shared_by_two_descriptors(family: Family, child: int) -> None:
    fd = family.own(os.pidfd_open(child))
    copy = family.own(os.dup(fd))
    (facts,) = family.facts(fd)
    family.numbers[copy] = facts.number
    with pytest.raises(Blocker, match="shares it"):
        module_of("pidfd").read(facts, family)
