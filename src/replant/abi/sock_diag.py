"""sock_diag(7): requests, answers and attributes of the four families (``linux/inet_diag.h`` and its like)."""

from __future__ import annotations

SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21

INET_REQUEST = "=BBBBI48s"  # family protocol ext pad states id
INET_ANSWER = "=BBBB2s2s16s16sIQIIIII"
"""family state timer retrans, sport dport src dst if cookie, expires rqueue wqueue uid inode"""
INET_ANSWER_SIZE = 72
ALL_STATES = 0xFFFFFFFF

INET_INFO = 2
INET_CONG = 4
INET_TOS = 5
INET_TCLASS = 6
INET_SKMEMINFO = 7
INET_SHUTDOWN = 8
INET_SKV6ONLY = 11
INET_MARK = 15
INET_MD5SIG = 18
INET_CGROUP_ID = 21

UNIX_REQUEST = "=BBHIIIQ"  # family protocol pad states ino show cookie
UNIX_ANSWER = "=BBBBIQ"  # family type state pad ino cookie
UNIX_ANSWER_SIZE = 16
UNIX_SHOW_ALL = 0x7F
UNIX_NAME = 0
UNIX_VFS = 1
UNIX_PEER = 2
UNIX_ICONS = 3
UNIX_RQLEN = 4
UNIX_MEMINFO = 5
UNIX_SHUTDOWN = 6
UNIX_UID = 7

NETLINK_REQUEST = "=BBHIIQ"  # family protocol pad ino show cookie
NETLINK_ANSWER = "=BBBBIIIIQ"  # family type protocol state portid dst_portid dst_group ino cookie
NETLINK_ANSWER_SIZE = 28
NETLINK_SHOW_ALL = 0x0B
NETLINK_ALL_PROTOCOLS = 0xFF
NETLINK_GROUPS = 1
NETLINK_FLAGS = 4

PACKET_REQUEST = "=BBHIIQ"
PACKET_ANSWER = "=BBHIQ"  # family type num ino cookie
PACKET_ANSWER_SIZE = 16
PACKET_SHOW_ALL = 0x3F
PACKET_INFO = 0
PACKET_UID = 5

MEMINFO = "=9I"  # rmem_alloc rcvbuf wmem_alloc sndbuf fwd_alloc wmem_queued optmem backlog drops

TCP_INFO_HEAD = "=8B6I"
"""state ca_state retransmits probes backoff options wscale (snd, rcv: 4 bits each) flags,
rto ato snd_mss rcv_mss unacked sacked"""
TCP_INFO_HEAD_SIZE = 32
