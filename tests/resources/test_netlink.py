"""Netlink sockets of a real program, which is uprooted and replanted: see ``programs/netlink_sockets.py``."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from facts import World

from live import stories
from live.roundtrip import Mode, every_privileged_mode
from replant.errors import Blocker

PROGRAM = stories.PROGRAMS / "netlink_sockets.py"


@pytest.mark.isolated
@every_privileged_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", stories.episodes(PROGRAM), mode, times=2)


def asked(protocol: int = 0) -> socket.socket:
    """A socket with an answer that has not been read, and more to come."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    s.bind((0, 0))
    s.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 7, 0, 0, 0, 0, 0, 0))
    return s


def test_unread_messages_are_refused_or_left_out(world: World) -> None:
    with asked() as s:
        with pytest.raises(Blocker, match="unread"):
            world.read("netlink", s.fileno())
        assert s.recv(1 << 16)
    with asked() as s:
        world.choices["pending"] = "skip"
        world.read("netlink", s.fileno())


def test_a_port_that_is_taken_is_told_before_the_restore(world: World) -> None:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 2)
    s.bind((0, 0))
    files = world.read("netlink", s.fileno())
    with s, pytest.raises(Blocker, match="somebody has it"):
        world.make(files)


def test_process_events_are_refused(world: World) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as s:
        try:
            s.bind((0, 1))
        except OSError as error:
            pytest.skip(f"here: {error}")
        with pytest.raises(Blocker, match="connector"):
            world.read("netlink", s.fileno())
