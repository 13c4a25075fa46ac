"""TUN and TAP devices by descriptor (``/dev/net/tun``): name, index, mode, hardware address, queues attached or not.

A device that is not persistent ends with the last descriptor: it is made again, up as it was, with size of packets,
addresses and routes. A persistent one has to be there, and is only attached to. Refused are packets that nobody has
read (``pending`` ``skip`` leaves them out), and a filter attached to a TAP device. Programs of BPF that steer or
filter, and the list of multicast addresses of TUNSETTXFILTER, cannot be seen.
"""

from __future__ import annotations

import struct
from stat import S_ISCHR

from replant.abi import libc, netlink, poll, socket, tun, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import compare, locks, rtnetlink
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_PATH = "/dev/net/tun"
_OWNER, _GROUP, _PI = 1, 2, 4  # of IFLA_INFO_DATA
_NOBODY = 0xFFFFFFFF
_GEN_MODE, _GEN_NONE = 8, 1  # IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE
_NUMBERS = (
    (tun.TUNGETSNDBUF, tun.TUNSETSNDBUF), (tun.TUNGETVNETHDRSZ, tun.TUNSETVNETHDRSZ),
    (tun.TUNGETVNETLE, tun.TUNSETVNETLE), (tun.TUNGETVNETBE, tun.TUNSETVNETBE),
)  # fmt: skip


class Device(Frozen):
    """``flags`` as TUNSETIFF takes them; ``owner`` and ``group`` -1: anybody. ``numbers`` are those of _NUMBERS.

    ``own_addresses``: how IPv6 makes up an address (IN6_ADDR_GEN_MODE_*), -1 without IPv6; ``addresses`` and ``routes``
    are messages of rtnetlink(7) without their headers.
    """

    name: str
    number: int
    flags: int
    persistent: bool
    owner: int
    group: int
    hardware: bytes
    numbers: tuple[int, ...]
    mtu: int
    queue_length: int
    up: bool
    own_addresses: int
    addresses: tuple[bytes, ...]
    routes: tuple[bytes, ...]


class State(Frozen):
    """A descriptor without a device has None; ``attached``: its queue is in use."""

    device: Device | None
    attached: bool


def claims(f: FileFacts) -> bool:
    """A descriptor of /dev/net/tun."""
    return S_ISCHR(f.mode)


def read(f: FileFacts, dump: DumpSide) -> State:
    """The device behind a descriptor. :raises Blocker: see the module."""
    locks.none(f)
    found = _request(f.grab())
    if found is None:
        return State(None, False)
    if dump.policy("pending") != "skip" and poll.poll_now(f.grab(), poll.POLLIN) & poll.POLLIN:
        hint = "let the program read them, or leave them out: --pending skip"
        raise refuse(f, "packets that are not yet read are queued in it", hint, "pending")
    return State(_device(f, *found), not found[1] & tun.IFF_DETACH_QUEUE)


def _request(fd: int) -> tuple[str, int] | None:
    """Name and flags of the device, None if there is none."""
    request = bytearray(40)
    if libc.syscall_raw(x86_64.ioctl, fd, tun.TUNGETIFF, request) < 0:
        return None
    name, flags = struct.unpack_from("=16sH", request)
    return name.rstrip(b"\0").decode(), flags


def _device(f: FileFacts, name: str, flags: int) -> Device:
    fd = f.grab()
    asked = rtnetlink.link(name)
    if asked is None:
        raise refuse(f, f"its device {name} is in another network namespace", "dump from that namespace")
    number, up, found = asked
    info = rtnetlink.attributes(rtnetlink.attributes(found[rtnetlink.IFLA_LINKINFO])[rtnetlink.IFLA_INFO_DATA])
    _no_filter(f, flags)
    flags &= ~(tun.IFF_PERSIST | tun.IFF_NO_PI | tun.IFF_DETACH_QUEUE)
    persistent = bool(int.from_bytes(info.get(6, b""), "little"))
    return Device(
        name, number, flags | (0 if any(info.get(_PI, b"")) else tun.IFF_NO_PI), persistent,
        _signed(info.get(_OWNER)), _signed(info.get(_GROUP)), found.get(rtnetlink.IFLA_ADDRESS, b""),
        tuple(_number(fd, ask) for ask, _ in _NUMBERS),
        int.from_bytes(found[rtnetlink.IFLA_MTU], "little"), int.from_bytes(found[rtnetlink.IFLA_TXQLEN], "little"),
        bool(up & rtnetlink.IFF_UP), _own_addresses(found.get(rtnetlink.IFLA_AF_SPEC, b"")),
        tuple(rtnetlink.addresses(number)), tuple(rtnetlink.routes(number)),
    )  # fmt: skip


def _own_addresses(families: bytes) -> int:
    mode = rtnetlink.attributes(rtnetlink.attributes(families).get(socket.AF_INET6, b"")).get(_GEN_MODE)
    return -1 if mode is None else mode[0]


def _signed(value: bytes | None) -> int:
    number = int.from_bytes(value, "little") if value else _NOBODY
    return -1 if number == _NOBODY else number


def _no_filter(f: FileFacts, flags: int) -> None:
    program = bytearray(16)
    if flags & tun.IFF_TAP and libc.syscall_raw(x86_64.ioctl, f.grab(), tun.TUNGETFILTER, program) == 0 and program[0]:
        raise refuse(f, "a filter is attached to its device", "detach it before the dump (TUNDETACHFILTER)", "filter")


def _number(fd: int, request: int) -> int:
    value = bytearray(4)
    answer = libc.syscall_raw(x86_64.ioctl, fd, request, value)
    return int.from_bytes(value, "little") if answer == 0 else 0


def group(file: File) -> object:
    """All queues of a device are made together."""
    device = _state(file).device
    return device.number if device else file.number + (1 << 32)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def check(file: File) -> None:
    """:raises Blocker: the name is taken, or the persistent device is gone."""
    device = _state(file).device
    if device is None:
        return
    there = rtnetlink.link(device.name)
    if device.persistent and there is None:
        raise hinder(file, device.name, "there is no such device", "make it again (ip tuntap add)", "interface")
    if not device.persistent and there is not None:
        raise hinder(file, device.name, "there is a device of that name", "remove or rename it", "interface")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """The first descriptor makes the device, the others add queues; then those that were detached are again."""
    states = [_state(file) for file in files]
    made = [open_path(on, _PATH, file.flags, "TUN or TAP device") for file in files]
    device = states[0].device
    if device is None:
        return made
    request = struct.pack("=16sH22x", device.name.encode(), device.flags)
    for place, fd in enumerate(made):
        if place == 0 and not device.persistent:
            _ioctl(on, fd, tun.TUNSETIFINDEX, device.number.to_bytes(4, "little"), "index of the device")
        _ioctl(on, fd, tun.TUNSETIFF, request, f"device {device.name}")
    if not device.persistent:
        _settle(device, made[0], on)
    for state, fd in zip(states, made, strict=True):
        if not state.attached:
            how = struct.pack("=16sH22x", b"", tun.IFF_DETACH_QUEUE)
            _ioctl(on, fd, tun.TUNSETQUEUE, how, "a queue that is not in use")
    return made


def _ioctl(on: Track, fd: Slot, request: int, value: bytes | int, why: str) -> None:
    on.call(x86_64.ioctl, fd, request, value, why=why)


def _settle(device: Device, fd: Slot, on: Track) -> None:
    """What belongs to the device, which is new."""
    for value, request in ((device.owner, tun.TUNSETOWNER), (device.group, tun.TUNSETGROUP)):
        if value >= 0:
            _ioctl(on, fd, request, value, "who may attach to it")
    for number, (_, request) in zip(device.numbers, _NUMBERS, strict=True):
        if number:
            _ioctl(on, fd, request, number.to_bytes(4, "little"), "setting of the device")
    if device.flags & tun.IFF_TAP:
        kind = (1).to_bytes(2, "little")  # ARPHRD_ETHER
        address = struct.pack(tun.REQUEST, device.name.encode(), kind + device.hardware)
        _ioctl(on, fd, tun.SIOCSIFHWADDR, address, "hardware address")
    route = on.call(x86_64.socket, socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_ROUTE, why="for its settings")
    rtnetlink.change(on, route, rtnetlink.RTM_NEWLINK, _link(device, _GEN_NONE, False), "size of packets, queue")
    rtnetlink.change(on, route, rtnetlink.RTM_NEWLINK, _link(device, _GEN_NONE, device.up), "up")
    for message in device.addresses:
        rtnetlink.change(on, route, rtnetlink.RTM_NEWADDR, message, "address")
    rtnetlink.change(
        on, route, rtnetlink.RTM_NEWLINK, _link(device, device.own_addresses, device.up), "IPv6 of its own again"
    )
    for message in device.routes:
        rtnetlink.change(on, route, rtnetlink.RTM_NEWROUTE, message, "route")
    on.call(x86_64.close, route)


def _link(device: Device, own_addresses: int, up: bool) -> bytes:
    """When it goes up, IPv6 must know already that it is to make up no address: the device has those that it had."""
    flags = rtnetlink.IFF_UP if up else 0
    head = struct.pack("=BxHiII", 0, 0, device.number, flags, rtnetlink.IFF_UP)
    numbers = ((rtnetlink.IFLA_MTU, device.mtu), (rtnetlink.IFLA_TXQLEN, device.queue_length))
    plain = b"".join([struct.pack("=HHI", 8, kind, number) for kind, number in numbers])
    if device.own_addresses < 0:
        return head + plain
    mode = struct.pack("=HHB3x", 5, _GEN_MODE, own_addresses)
    return (
        head
        + plain
        + struct.pack("=HHHH", 8 + len(mode), rtnetlink.IFLA_AF_SPEC, 4 + len(mode), socket.AF_INET6)
        + mode
    )


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Every field; of addresses the lifetimes move."""
    if before.device is None or after.device is None or before.attached != after.attached:
        yield from compare.fields(before, after)
        return
    yield from compare.fields(before.device, after.device, ("addresses", "routes"))
    for name in ("addresses", "routes"):
        old, new = (sorted(map(_lasting, getattr(d, name))) for d in (before.device, after.device))
        if old != new:
            yield f"{name}: {old} -> {new}"


def _lasting(message: bytes) -> bytes:
    """The beginning of a message of an address or a route, behind which times stand."""
    return message[:8]
