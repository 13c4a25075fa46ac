"""TUN and TAP devices of a real program, which is uprooted and replanted: see ``programs/tun_devices.py``."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from facts import World

from live import stories
from live.roundtrip import Mode, every_privileged_mode
from replant.errors import Blocker

PROGRAM = stories.PROGRAMS / "tun_devices.py"

pytestmark = pytest.mark.isolated


@every_privileged_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    stories.go_on(PROGRAM, tmp_path / "tree", stories.episodes(PROGRAM), mode, times=2, options=("--pending", "skip"))


def device(name: str, flags: int = 0x1001) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("=16sH22x", name.encode(), flags))
    return fd


def test_packets_that_nobody_has_read_are_refused() -> None:
    with World() as world:
        fd = world.own(device("busy"))
        for words in ("addr add 10.1.2.3/24 dev busy", "link set busy up"):
            subprocess.run(["ip", *words.split()], check=True)
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.sendto(b"x", ("10.1.2.4", 9))
        with pytest.raises(Blocker, match="not yet read"):
            world.read("tun", fd)
        world.choices["pending"] = "skip"
        world.read("tun", fd)


def test_a_name_that_is_taken_is_told_before_the_restore() -> None:
    with World() as world:
        files = world.read("tun", world.own(device("taken")))
        with pytest.raises(Blocker, match="there is a device of that name"):
            world.make(files)


def test_a_persistent_device_that_is_gone_is_told_before_the_restore() -> None:
    with World() as world:
        fd = device("gone")
        fcntl.ioctl(fd, 0x400454CB, 1)
        files = world.read("tun", fd)
        fcntl.ioctl(fd, 0x400454CB, 0)
        os.close(fd)
        with pytest.raises(Blocker, match="no such device"):
            world.make(files)
