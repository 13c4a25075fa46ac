"""Packet sockets of a real program, which is uprooted and replanted: see ``programs/packet_sockets.py``."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from facts import World

from live import stories
from live.roundtrip import Mode, every_privileged_mode
from replant.errors import Blocker

PROGRAM = stories.PROGRAMS / "packet_sockets.py"
TEST = 0x88B5


@pytest.mark.isolated
@every_privileged_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", stories.episodes(PROGRAM), mode, times=2)


@pytest.mark.isolated
def test_unread_packets_are_refused_or_left_out() -> None:
    with World() as world, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TEST)) as s:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as other:
            other.bind(("lo", 0))
            other.send(bytes(12) + struct.pack(">H", TEST) + bytes(46))
        with pytest.raises(Blocker, match="not yet read"):
            world.read("packet", s.fileno())
        assert len(s.recv(100)) == 60
        world.choices["pending"] = "skip"
        world.read("packet", s.fileno())


@pytest.mark.isolated
def test_an_interface_that_is_gone_is_told_before_the_restore() -> None:
    with World() as world:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.bind(("lo", TEST))
        (file,) = world.read("packet", s.fileno())
        s.close()
        elsewhere = file.state._replace(interface=file.state.interface._replace(name="gone0"))
        with pytest.raises(Blocker, match="no network interface gone0"):
            world.make([file._replace(state=elsewhere)])
