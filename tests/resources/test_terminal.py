from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from facts import World

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker
from replant.observe.observer import Observer


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
    """With its number, although the restorer has a terminal of its own."""
    with World(terminal="null") as world:
        name = os.ttyname(pair[1])
        os.close(pair[0])
        files, (new,) = world.again("terminal", pair[1])
        assert os.readlink(f"/proc/self/fd/{new}") == f"{name} (deleted)"
        assert os.read(new, 1) == b""
        world.unchanged(files, [new])


@pytest.fixture
def seeing(world: World) -> World:
    world.observer = Observer()
    if world.observer.source != "bpf":
        pytest.skip(world.observer.reason)
    return world


def test_a_pair_with_its_number(seeing: World, pair: tuple[int, int]) -> None:
    name = os.ttyname(pair[1])
    fcntl.ioctl(pair[0], termios.TIOCSWINSZ, struct.pack("4H", 10, 20, 0, 0))
    os.write(pair[1], b"waits\n")
    files = seeing.read("terminal", *pair)
    for fd in pair:
        os.close(fd)
    master, slave = seeing.make(files)
    assert os.ttyname(slave) == name
    assert struct.unpack("4H", fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8))) == (10, 20, 0, 0)
    assert os.read(master, 10) == b"waits\r\n"


def test_a_number_that_is_taken(seeing: World, pair: tuple[int, int]) -> None:
    files = seeing.read("terminal", *pair)
    with pytest.raises(Blocker, match="is taken") as refused:
        seeing.make(files)
    assert refused.value.resource == os.ttyname(pair[1]) and "renumber" in refused.value.hint
    seeing.choices["terminals"] = "renumber"
    master, slave = seeing.make(files)
    assert os.ttyname(slave) != os.ttyname(pair[1])
    os.write(slave, b"x")
    assert os.read(master, 10) == b"x"


def test_a_number_that_can_be_no_terminal_is_refused(seeing: World, pair: tuple[int, int]) -> None:
    (file, _) = seeing.read("terminal", *pair)
    pair_of_it = file.state.pair._replace(number=1 << 20)
    with pytest.raises(Blocker, match="is no such"):
        seeing.make([file._replace(state=file.state._replace(pair=pair_of_it))])


def test_a_slave_outside_is_refused(seeing: World, pair: tuple[int, int]) -> None:
    with pytest.raises(Blocker, match="outside of the tree"):
        seeing.read("terminal", pair[0])


def test_a_master_is_refused_where_nobody_can_look(world: World, pair: tuple[int, int]) -> None:
    with pytest.raises(Blocker, match="BPF"):
        world.read("terminal", pair[0])


def test_news_of_packet_mode_is_refused(seeing: World, pair: tuple[int, int]) -> None:
    fcntl.ioctl(pair[0], termios.TIOCPKT, struct.pack("i", 1))
    termios.tcflush(pair[1], termios.TCIFLUSH)
    with pytest.raises(Blocker, match="TIOCPKT"):
        seeing.read("terminal", *pair)
    assert os.read(pair[0], 10) == b"\x01"
    seeing.read("terminal", *pair)


def test_another_line_discipline_is_refused(seeing: World, pair: tuple[int, int]) -> None:
    fcntl.ioctl(pair[1], termios.TIOCSETD, struct.pack("i", 27))  # N_NULL
    with pytest.raises(Blocker, match="line discipline 27"):
        seeing.read("terminal", *pair)


@pytest.mark.isolated
def test_a_slave_over_a_console_is_refused(tmp_path: Path) -> None:
    """As a container has it; its mount would be that of a pair that is no more."""
    master, slave = pty.openpty()
    place = tmp_path / "console"
    place.touch()
    words = (os.ttyname(slave).encode() + b"\0", bytes(place) + b"\0", b"\0")
    syscall(x86_64.mount, *words, 0x1000, 0)  # MS_BIND
    console = os.open(place, os.O_RDWR | os.O_NOCTTY)
    with World() as world:
        world.observer = Observer()
        with pytest.raises(Blocker, match="mounted elsewhere"):
            world.read("terminal", master, slave, console)


@pytest.mark.parametrize("path", ["/dev/console", "/dev/tty1", "/dev/ttyS0"])
def test_consoles_and_serial_lines_are_refused(world: World, path: str) -> None:
    try:
        fd = world.own(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as error:
        pytest.skip(str(error))
    with pytest.raises(Blocker, match=r"system console|virtual terminal or a serial line"):
        world.read("terminal", fd)


def test_same_tells_other_settings(world: World, pair: tuple[int, int]) -> None:
    (before,) = world.read("terminal", pair[1])
    tty.setraw(pair[1])
    with pytest.raises(AssertionError):
        world.unchanged([before], [pair[1]])
