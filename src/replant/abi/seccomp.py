"""Numbers of seccomp(2), ``linux/seccomp.h``, and of its filters, ``linux/filter.h`` and ``linux/bpf_common.h``."""

from __future__ import annotations

from struct import Struct

MODE_STRICT = 1
MODE_FILTER = 2

SET_MODE_STRICT = 0
SET_MODE_FILTER = 1

FILTER_FLAG_LOG = 1 << 1
FILTER_FLAG_SPEC_ALLOW = 1 << 2

RET_ACTION = 0xFFFF0000
RET_USER_NOTIF = 0x7FC00000

BPF_RET = 0x06  # class of the instruction, with the source of its value: BPF_K (a constant) is 0
INSTRUCTION = Struct("<HBBI")  # struct sock_filter: code, jt, jf, k
PROGRAM = Struct("<H6xQ")  # struct sock_fprog: instructions, address
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
