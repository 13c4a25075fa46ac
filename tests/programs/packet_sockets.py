"""Episodes of packet sockets, on the loopback interface."""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import episodes

TEST, OTHER, THIRD = 0x88B5, 0x88B6, 0x88B7  # protocols for experiments
SOL_PACKET, SO_ATTACH_FILTER, SOCK_PACKET = 263, 26, 10
HEADER = bytes(12)


def _new(kind: int, protocol: int = 0, device: str = "") -> socket.socket:
    s = socket.socket(socket.AF_PACKET, kind, socket.htons(protocol) if not device else 0)
    s.settimeout(60)
    if device:
        s.bind((device, protocol))
    return s


def _say(protocol: int, text: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("lo", 0))
        s.send(HEADER + struct.pack(">H", protocol) + text.ljust(46, b"\0"))


def _hears(s: socket.socket, text: bytes) -> None:
    """Once, and nothing else."""
    data = s.recv(2000)
    assert text in data, data
    s.setblocking(False)
    try:
        data = s.recv(2000)
    except BlockingIOError:
        return
    finally:
        s.settimeout(60)
    raise AssertionError(f"one packet too many: {data!r}")


def bound_or_not(here: Path) -> Iterator[None]:
    everywhere, raw, cooked = _new(3, TEST), _new(3, TEST, "lo"), _new(2, TEST, "lo")
    silent, only_device = _new(3), _new(3, 0, "lo")
    old = socket.socket(socket.AF_PACKET, SOCK_PACKET, socket.htons(TEST))
    old_bound = socket.socket(socket.AF_PACKET, SOCK_PACKET, socket.htons(TEST))
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=H14s", socket.AF_PACKET, b"lo")
    assert libc.bind(old_bound.fileno(), address, 16) == 0
    names = [s.getsockname() for s in (everywhere, raw, cooked, silent, only_device)]
    for s in (old, old_bound):
        s.settimeout(60)
    yield
    assert [s.getsockname() for s in (everywhere, raw, cooked, silent, only_device)] == names
    _say(TEST, b"hello")
    for s in (everywhere, raw, cooked, old, old_bound):
        _hears(s, b"hello")
    only_device.send(HEADER + struct.pack(">H", TEST) + b"out".ljust(46))
    for s in (everywhere, raw, cooked, old, old_bound):
        _hears(s, b"out")
    silent.setblocking(False)
    try:
        silent.recv(100)
    except BlockingIOError:
        pass
    else:
        raise AssertionError("it has no protocol")


def options_and_filters(here: Path) -> Iterator[None]:
    s = _new(3, THIRD)
    values = {10: 2, 12: 64, 8: 1, 9: 1, 14: 1, 17: 1 << 6, 20: 1, 23: 1}
    for option, value in values.items():
        s.setsockopt(SOL_PACKET, option, value)
    # the first byte behind the header is "y": let pass
    code = struct.pack("=HBBIHBBIHBBIHBBI", 0x30, 0, 0, 14, 0x15, 0, 1, ord("y"), 6, 0, 0, 0xFFFF, 6, 0, 0, 0)
    buffer = ctypes.create_string_buffer(code)
    s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("=HxxxxxxQ", 4, ctypes.addressof(buffer)))
    yield
    assert {option: s.getsockopt(SOL_PACKET, option) for option in values} == values
    _say(THIRD, b"no")
    _say(THIRD, b"yes")
    data, control, *_ = s.recvmsg(2000, 100)
    assert b"yes" in data, data
    assert [c[:2] for c in control] == [(SOL_PACKET, 8)], "auxiliary data"
    s.setblocking(False)
    try:
        s.recv(2000)
    except BlockingIOError:
        pass
    else:
        raise AssertionError("the filter lets too much pass")


def _counts() -> list[int]:
    """How many want all packets of the interface, and all multicast."""
    found = subprocess.run(["ip", "-d", "-j", "link", "show", "lo"], capture_output=True, check=True).stdout
    return [json.loads(found)[0][name] for name in ("promiscuity", "allmulti")]


def memberships(here: Path) -> Iterator[None]:
    s = _new(3)
    index = socket.if_nametoindex("lo")
    for kind, address in ((1, b""), (1, b""), (2, b""), (0, bytes.fromhex("01005e000001"))):
        s.setsockopt(SOL_PACKET, 1, struct.pack("=iHH8s", index, kind, len(address), address))
    yield
    for left in ([1, 1], [1, 1], [0, 1]):  # promiscuous was joined twice
        assert _counts() == left, (_counts(), left)
        s.setsockopt(SOL_PACKET, 2, struct.pack("=iHH8s", index, 1, 0, b""))
    s.close()
    assert _counts() == [0, 0]


def fan_out(here: Path) -> Iterator[None]:
    group = [_new(3, OTHER, "lo") for _ in range(3)]
    rolling = [_new(3, OTHER, "lo") for _ in range(2)]
    for s in group:
        s.setsockopt(SOL_PACKET, 18, 11 | 1 << 16)  # in turn
    for s in rolling:
        s.setsockopt(SOL_PACKET, 18, 12 | (0 | 0x1000) << 16)  # by hash, rolling over
    values = [s.getsockopt(SOL_PACKET, 18) for s in (*group, *rolling)]
    yield
    assert [s.getsockopt(SOL_PACKET, 18) for s in (*group, *rolling)] == values
    for number in range(3):
        _say(OTHER, b"packet %d" % number)
    counts = []
    for s in group:
        s.setblocking(False)
        counts.append(0)
        try:
            while s.recv(2000):
                counts[-1] += 1
        except BlockingIOError:
            pass
    assert counts == [1, 1, 1], counts


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    episodes.serve(episodes.all_of(globals()))
