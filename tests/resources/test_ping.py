from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from facts import World, module_of

from replant.errors import Blocker

FAMILIES = [
    (socket.AF_INET, "127.0.0.1", socket.IPPROTO_ICMP, b"\x08\0\0\0\0\0\0\1"),
    (socket.AF_INET6, "::1", socket.IPPROTO_ICMPV6, b"\x80\0\0\0\0\0\0\1"),
]
pytestmark = pytest.mark.isolated


def allow(group: int) -> None:
    Path("/proc/sys/net/ipv4/ping_group_range").write_text(f"{group} {group}")


@pytest.mark.parametrize(("family", "host", "protocol", "echo"), FAMILIES)
@pytest.mark.parametrize("group", [0, 4711])
def test_an_answer_comes_to_it(family: int, host: str, protocol: int, echo: bytes, group: int) -> None:
    allow(group)
    os.setegid(group)
    s = socket.socket(family, socket.SOCK_DGRAM, protocol)
    os.setegid(0)
    s.connect((host, 0))
    number = s.getsockname()[1]
    with World() as world:
        files, (fd,) = world.again("ping", s.detach())
        world.unchanged(files, [fd])
        s = socket.socket(fileno=fd)
        assert s.getsockname()[1] == number
        s.settimeout(60)
        s.send(echo)
        assert s.recv(100)[4:6] == number.to_bytes(2, "big")
        assert os.getegid() == 0


def test_unread_answers_are_refused() -> None:
    allow(0)
    family, host, protocol, echo = FAMILIES[0]
    s = socket.socket(family, socket.SOCK_DGRAM, protocol)
    s.sendto(echo, (host, 0))
    with World() as world, pytest.raises(Blocker, match="not yet read"):
        world.read("ping", s.fileno())


def test_no_other_is_claimed() -> None:
    with World() as world, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        assert not module_of("ping").claims(world.facts(s.fileno())[0])
