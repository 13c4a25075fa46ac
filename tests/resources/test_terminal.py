from __future__ import annotations

import os
import pty
import termios
import tty
from collections.abc import Iterator
from contextlib import suppress

import pytest
from facts import World

from replant.errors import Blocker


@pytest.fixture
def pair() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    yield master, slave
    for fd in (master, slave):
        with suppress(OSError):
            os.close(fd)


def test_given_again_by_path_with_its_settings(pair: tuple[int, int]) -> None:
    old = os.open(os.ttyname(pair[1]), os.O_RDWR | os.O_NOCTTY)
    other = os.open(os.ttyname(pair[1]), os.O_WRONLY | os.O_NOCTTY)
    tty.setraw(old)
    settings = termios.tcgetattr(old)
    master, slave = pty.openpty()
    with World(terminal=os.ttyname(slave)) as world:
        files, new = world.again("terminal", old, other)
        world.unchanged(files, new)
        assert os.ttyname(new[0]) == os.ttyname(slave)
        assert termios.tcgetattr(slave) == settings
        os.write(new[1], b"hello")
        assert os.read(master, 10) == b"hello"
    os.close(master)
    os.close(slave)


def test_the_terminal_of_the_restorer_is_taken(world: World, pair: tuple[int, int]) -> None:
    (file,) = world.read("terminal", pair[1])
    kept = os.dup(0)
    os.dup2(pair[1], 0)
    try:
        (new,) = world.make([file])
        assert os.ttyname(new) == os.ttyname(pair[1])
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_without_a_terminal_it_is_refused_unless_told(world: World, pair: tuple[int, int]) -> None:
    (file,) = world.read("terminal", pair[1])
    kept = [os.dup(fd) for fd in (0, 1, 2)]
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    try:
        with pytest.raises(Blocker, match="there is none here"):
            world.make([file])
        world.choices["terminal"] = "null"
        (new,) = world.make([file])
        assert os.readlink(f"/proc/self/fd/{new}") == "/dev/null"
    finally:
        for fd, old in zip((0, 1, 2), kept, strict=True):
            os.dup2(old, fd)
            os.close(old)
        os.close(null)


def test_a_terminal_that_was_hung_up(pair: tuple[int, int]) -> None:
    with World(terminal="null") as world:
        os.close(pair[0])
        (file,) = world.read("terminal", pair[1])
        assert file.state.settings == b""
        world.make([file])


def test_a_master_is_refused(world: World, pair: tuple[int, int]) -> None:
    with pytest.raises(Blocker, match="master"):
        world.read("terminal", pair[0])


def test_same_tells_other_settings(world: World, pair: tuple[int, int]) -> None:
    (before,) = world.read("terminal", pair[1])
    tty.setraw(pair[1])
    with pytest.raises(AssertionError):
        world.unchanged([before], [pair[1]])
