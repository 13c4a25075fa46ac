"""Episodes of TUN and TAP devices."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import episodes

SETIFF, SETPERSIST, SETOWNER, SETSNDBUF, SETVNETHDRSZ, SETQUEUE = (0x400454C0 | n for n in (10, 11, 12, 20, 24, 25))
TUN, TAP, MULTI_QUEUE, NO_PI, VNET_HDR = 0x1, 0x2, 0x100, 0x1000, 0x4000
ATTACH, DETACH = 0x200, 0x400


def _open() -> int:
    return os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)


def _attached(name: str, flags: int) -> int:
    fd = _open()
    fcntl.ioctl(fd, SETIFF, struct.pack("=16sH22x", name.encode(), flags))
    return fd


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _link(name: str) -> dict[str, Any]:
    found = subprocess.run(["ip", "-d", "-j", "addr", "show", name], capture_output=True, check=True).stdout
    (link,) = json.loads(found)
    kept = ("ifindex", "mtu", "txqlen", "address", "flags")
    addresses = sorted((a["local"], a["prefixlen"]) for a in link["addr_info"])
    return {**{k: link.get(k) for k in kept}, "info": link["linkinfo"], "addresses": addresses}


def _routes(name: str) -> Any:
    return json.loads(
        subprocess.run(["ip", "-j", "route", "show", "dev", name], capture_output=True, check=True).stdout
    )


def carrying_packets(here: Path) -> Iterator[None]:
    """A tunnel with an address and a route, through which datagrams go out and come in."""
    tun = _attached("tunnel", TUN | NO_PI)
    _ip("addr", "add", "10.9.8.1/24", "dev", "tunnel")
    _ip("link", "set", "tunnel", "up", "mtu", "1300", "txqueuelen", "77")
    _ip("route", "add", "10.7.0.0/16", "via", "10.9.8.7", "dev", "tunnel")
    _drain(tun)
    before, routes = _link("tunnel"), _routes("tunnel")
    yield
    assert _link("tunnel") == before, (_link("tunnel"), before)
    assert _routes("tunnel") == routes, (_routes("tunnel"), routes)
    _drain(tun)
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(("10.9.8.1", 4000))
        s.sendto(b"hello", ("10.7.1.2", 5000))
        packet = bytearray(_read(tun))
        assert packet[12:20] == bytes([10, 9, 8, 1, 10, 7, 1, 2]) and packet.endswith(b"hello")
        packet[12:20] = packet[16:20] + packet[12:16]
        packet[20:24] = packet[22:24] + packet[20:22]
        packet[26:28] = bytes(2)  # no checksum
        os.write(tun, packet)
        s.settimeout(60)
        assert s.recvfrom(10) == (b"hello", ("10.7.1.2", 5000))
    os.close(tun)


def _drain(tun: int) -> None:
    """What the kernel says by itself, of IPv6 for example."""
    try:
        while True:
            os.read(tun, 2000)
    except BlockingIOError:
        pass


def _read(tun: int) -> bytes:
    while True:
        packet = os.read(tun, 2000)
        if packet[0] >> 4 == 4:
            return packet


def modes(here: Path) -> Iterator[None]:
    """With and without information in front, with headers of virtual networks, of TAP, down, owned, and none."""
    made = {
        "mode0": TUN,
        "mode1": TAP | NO_PI,
        "mode2": TAP | NO_PI | VNET_HDR,
    }
    fds = {name: _attached(name, flags) for name, flags in made.items()}
    fcntl.ioctl(fds["mode0"], SETOWNER, 1000)
    fcntl.ioctl(fds["mode1"], SETSNDBUF, struct.pack("=i", 50_000))
    fcntl.ioctl(fds["mode2"], SETVNETHDRSZ, struct.pack("=i", 12))
    _ip("link", "set", "mode1", "address", "02:11:22:33:44:55")
    alone = _open()
    before = {name: _link(name) for name in made}
    assert before["mode1"]["address"] == "02:11:22:33:44:55"
    yield
    for name in made:
        assert _link(name) == before[name], (_link(name), before[name])
    assert struct.unpack("=i", fcntl.ioctl(fds["mode1"], 0x800454D3, bytes(4))) == (50_000,)
    assert struct.unpack("=i", fcntl.ioctl(fds["mode2"], 0x800454D7, bytes(4))) == (12,)
    fcntl.ioctl(alone, SETIFF, struct.pack("=16sH22x", b"late", TUN))
    for fd in (*fds.values(), alone):
        os.close(fd)


def queues(here: Path) -> Iterator[None]:
    """Several of one device, one of them detached."""
    fds = [_attached("many", TAP | MULTI_QUEUE | NO_PI) for _ in range(3)]
    fcntl.ioctl(fds[1], SETQUEUE, struct.pack("=16sH22x", b"", DETACH))
    before = _link("many")
    yield
    assert _link("many") == before, (_link("many"), before)
    fcntl.ioctl(fds[1], SETQUEUE, struct.pack("=16sH22x", b"", ATTACH))
    assert (_link("many")["info"]["info_data"]["numqueues"], before["info"]["info_data"]["numqueues"]) == (3, 2)
    for fd in fds:
        os.close(fd)


def persistent(here: Path) -> Iterator[None]:
    fd = _attached("lasting", TUN | NO_PI)
    fcntl.ioctl(fd, SETPERSIST, 1)
    _ip("link", "set", "lasting", "mtu", "1234")
    before = _link("lasting")
    yield
    assert _link("lasting") == before, (_link("lasting"), before)
    fcntl.ioctl(fd, SETPERSIST, 0)
    os.close(fd)
    assert subprocess.run(["ip", "link", "show", "lasting"], capture_output=True, check=False).returncode


if __name__ == "__main__":
    episodes.serve(episodes.all_of(globals()))
