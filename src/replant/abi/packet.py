"""Packet sockets: ``linux/if_packet.h``, ``linux/packet_diag.h``."""

from __future__ import annotations

SOCK_PACKET = 10
"""The obsolete type, bound by the name of a device."""

SOL_PACKET = 263
ADD_MEMBERSHIP = 1
RX_RING = 5
COPY_THRESH = 7
AUXDATA = 8
ORIGDEV = 9
VERSION = 10
RESERVE = 12
TX_RING = 13
LOSS = 14
VNET_HDR = 15
TIMESTAMP = 17
FANOUT = 18
TX_HAS_OFF = 19
QDISC_BYPASS = 20
IGNORE_OUTGOING = 23
VNET_HDR_SZ = 24
"""Options."""

FANOUT_CBPF = 6
FANOUT_EBPF = 7
"""Ways to share packets out that a program decides."""

SOCKADDR = "=HHiHBB8s"  # sockaddr_ll: family protocol (big endian) index hatype pkttype halen addr
SOCKADDR_OLD = "=H14s"  # sockaddr as bind(2) takes it here: family device
MEMBERSHIP = "=iHH8s"  # packet_mreq: index type alen address

DIAG_INFO = 0
DIAG_MCLIST = 1
DIAG_RX_RING = 2
DIAG_TX_RING = 3
INFO = "=6I"  # index version reserve copy_thresh tstamp flags
MCLIST = "=IIHH32s"  # index count type alen address
RING = "=7I"  # block_size block_nr frame_size frame_nr retire_tmo sizeof_priv features
