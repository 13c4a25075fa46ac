"""A TCP segment as a packet of IP (RFC 9293, RFC 791, RFC 8200), for a raw socket that takes headers as they are."""

from __future__ import annotations

from struct import pack, unpack

FIN, RST, ACK = 0x01, 0x04, 0x10
IPPROTO_RAW = 255
_TCP = 6
_HEADER_WORDS = 5
_HOPS = 64


def packet(
    source: bytes, target: bytes, ports: bytes, sequence: int, acknowledged: int, flags: int, room: int
) -> bytes:
    """A segment without data or options. Hosts are 4 or 16 bytes; ``ports`` those of source and target.

    ``room`` is the window as it stands in the header, scaled.
    """
    head = ports + pack("!IIBBHHH", sequence, acknowledged, _HEADER_WORDS << 4, flags, room, 0, 0)
    pseudo = source + target + pack("!IBBBB", len(head), 0, 0, 0, _TCP)
    segment = head[:16] + pack("!H", _checksum(pseudo + head)) + head[18:]
    return _ip(source, target, len(segment)) + segment


def _ip(source: bytes, target: bytes, length: int) -> bytes:
    """The header of IP; that of version 4 gets its length and checksum from the kernel (raw(7))."""
    if len(source) == 4:
        return pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, _HOPS, _TCP, 0) + source + target
    return pack("!IHBB", 6 << 28, length, _TCP, _HOPS) + source + target


def _checksum(data: bytes) -> int:
    total: int = sum(unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
