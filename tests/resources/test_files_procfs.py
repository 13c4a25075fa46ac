from __future__ import annotations

import os
import signal

import pytest
from facts import World, module_of

from replant.errors import Blocker


def test_the_holder_opens_what_is_about_the_tree(world: World) -> None:
    fd = os.open("/proc/self/status", os.O_RDONLY)
    os.lseek(fd, 10, os.SEEK_SET)
    files, (new,) = world.again("procfs", fd)
    world.unchanged([file._replace(pos=0) for file in files], [new])
    assert module_of("procfs").maker(files) == os.getpid()
    world.finish(files[0])
    assert os.lseek(new, 0, os.SEEK_CUR) == 10
    assert os.pread(new, 5, 0) == b"Name:"


def test_of_the_whole_system(world: World) -> None:
    files, (new,) = world.again("procfs", os.open("/proc/meminfo", os.O_RDONLY))
    assert module_of("procfs").maker(files) == 0
    assert os.read(new, 8) == b"MemTotal"


def test_of_a_process_that_is_gone(world: World) -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
    fds = [os.open(f"/proc/{child}/{name}", os.O_RDONLY) for name in ("status", "task")]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    world.holders = {0: 0, 1: 1}  # descriptors, not current directories
    files, new = world.again("procfs", *fds)
    world.unchanged(files, new)
    with pytest.raises(ProcessLookupError):
        os.read(new[0], 1)
    assert os.listdir(new[1]) == []


def test_what_is_not_there_is_refused(world: World) -> None:
    (file,) = world.read("procfs", world.own(os.open("/proc/1/comm", os.O_RDONLY)))
    with pytest.raises(Blocker, match="no such file"):
        world.make([file._replace(state=file.state._replace(path="/proc/0/comm"))])
