"""Internet sockets: addresses and options of ``linux/in.h``, ``linux/in6.h``, ``linux/tcp.h``, ``linux/udp.h``."""

from __future__ import annotations

import struct

from replant.abi import socket

IPPROTO_IP = 0
IPPROTO_ICMP = 1
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_IPV6 = 41
IPPROTO_ICMPV6 = 58
IPPROTO_UDPLITE = 136
SOL_RAW = 255

IP_TOS = 1
IP_TTL = 2
IP_HDRINCL = 3
IP_OPTIONS = 4
IP_RECVOPTS = 6
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IP_RECVTTL = 12
IP_RECVTOS = 13
IP_FREEBIND = 15
IP_TRANSPARENT = 19
IP_RECVORIGDSTADDR = 20
IP_MINTTL = 21
IP_NODEFRAG = 22
IP_BIND_ADDRESS_NO_PORT = 24
IP_RECVFRAGSIZE = 25
IP_RECVERR_RFC4884 = 26
IP_MULTICAST_IF = 32
IP_MULTICAST_TTL = 33
IP_MULTICAST_LOOP = 34
IP_MSFILTER = 41
IP_MULTICAST_ALL = 49
IP_UNICAST_IF = 50
IP_LOCAL_PORT_RANGE = 51

IPV6_CHECKSUM = 7
IPV6_UNICAST_HOPS = 16
IPV6_MULTICAST_IF = 17
IPV6_MULTICAST_HOPS = 18
IPV6_MULTICAST_LOOP = 19
IPV6_MTU_DISCOVER = 23
IPV6_RECVERR = 25
IPV6_V6ONLY = 26
IPV6_MULTICAST_ALL = 29
IPV6_RECVERR_RFC4884 = 31
IPV6_FLOWINFO_SEND = 33
IPV6_HDRINCL = 36
MCAST_MSFILTER = 48
IPV6_RECVPKTINFO = 49
IPV6_RECVHOPLIMIT = 51
IPV6_RECVTCLASS = 66
IPV6_TCLASS = 67
IPV6_AUTOFLOWLABEL = 70
IPV6_ADDR_PREFERENCES = 72
IPV6_MINHOPCOUNT = 73
IPV6_TRANSPARENT = 75
IPV6_UNICAST_IF = 76
IPV6_FREEBIND = 78

TCP_NODELAY = 1
TCP_MAXSEG = 2
TCP_CORK = 3
TCP_KEEPIDLE = 4
TCP_KEEPINTVL = 5
TCP_KEEPCNT = 6
TCP_SYNCNT = 7
TCP_LINGER2 = 8
TCP_DEFER_ACCEPT = 9
TCP_WINDOW_CLAMP = 10
TCP_INFO = 11
TCP_CONGESTION = 13
TCP_MD5SIG = 14
TCP_USER_TIMEOUT = 18
TCP_REPAIR = 19
TCP_REPAIR_QUEUE = 20
TCP_QUEUE_SEQ = 21
TCP_REPAIR_OPTIONS = 22
TCP_FASTOPEN = 23
TCP_TIMESTAMP = 24
TCP_NOTSENT_LOWAT = 25
TCP_SAVE_SYN = 27
TCP_SAVED_SYN = 28
TCP_REPAIR_WINDOW = 29
TCP_FASTOPEN_CONNECT = 30
TCP_ULP = 31
TCP_FASTOPEN_NO_COOKIE = 34
TCP_INQ = 36
TCP_TX_DELAY = 37

#: The beginning of an address of IPv4 in IPv6.
MAPPED = bytes(10) + b"\xff\xff"

#: Values of TCP_REPAIR: ``OFF_QUIET`` sends no probe to the peer.
REPAIR_ON, REPAIR_OFF, REPAIR_OFF_QUIET = 1, 0, -1
#: Values of TCP_REPAIR_QUEUE.
NO_QUEUE, RECEIVE_QUEUE, SEND_QUEUE = 0, 1, 2
#: Numbers of options for TCP_REPAIR_OPTIONS, those of the header of TCP.
OPT_MSS, OPT_SCALE, OPT_SACK, OPT_TIMESTAMP = 2, 3, 4, 8
#: Bits of tcpi_options.
INFO_TIMESTAMPS, INFO_SACK, INFO_SCALE = 1, 2, 4

UDP_CORK = 1
UDP_ENCAP = 100
UDP_NO_CHECK6_TX = 101
UDP_NO_CHECK6_RX = 102
UDP_SEGMENT = 103
UDP_GRO = 104
UDPLITE_SEND_CSCOV = 10
UDPLITE_RECV_CSCOV = 11
ICMP_FILTER = 1
ICMPV6_FILTER = 1


def port(address: bytes) -> int:
    """The port of a ``sockaddr_in`` or ``sockaddr_in6``, 0 if there is no address."""
    found: int = struct.unpack_from("!H", address, 2)[0] if len(address) >= 8 else 0
    return found


def is_any(address: bytes) -> bool:
    """Whether the host part is the wildcard, 0.0.0.0 or ::."""
    return not any(host(address))


def host(address: bytes) -> bytes:
    """The host part, 4 or 16 bytes in network order."""
    return address[8:24] if int.from_bytes(address[:2], "little") == socket.AF_INET6 else address[4:8]


def with_port(address: bytes, number: int) -> bytes:
    """The same host with another port."""
    return address[:2] + struct.pack("!H", number) + address[4:]


def with_host(address: bytes, host: bytes) -> bytes:
    """The same port at another host of the family."""
    start = 4 if len(host) == 4 else 8
    return address[:start] + host + address[start + len(host) :]


def pack(family: int, host: bytes, number: int, scope: int = 0) -> bytes:
    """A sockaddr; ``scope`` is the interface of a link-local address of IPv6."""
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H", number) + host + bytes(8)
    return struct.pack("=H", family) + struct.pack("!HI", number, 0) + host + struct.pack("=I", scope)


def show(address: bytes) -> str:
    """``host:port`` for people."""
    part = host(address)
    if len(part) == 4:
        return ".".join(map(str, part)) + f":{port(address)}"
    return "[" + ":".join([part[i : i + 2].hex() for i in range(0, 16, 2)]) + f"]:{port(address)}"
