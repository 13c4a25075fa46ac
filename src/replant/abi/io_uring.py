"""io_uring_setup(2), io_uring_enter(2), linux/io_uring.h: flags, offsets of mmap(2), and what stands in a ring."""

from __future__ import annotations

from struct import Struct

SETUP_CQSIZE = 1 << 3
SETUP_CLAMP = 1 << 4
SETUP_SUBMIT_ALL = 1 << 7
SETUP_COOP_TASKRUN = 1 << 8
SETUP_TASKRUN_FLAG = 1 << 9
SETUP_SQE128 = 1 << 10
SETUP_CQE32 = 1 << 11
SETUP_NO_SQARRAY = 1 << 16

OFF_SQ_RING = 0
OFF_SQES = 0x10000000

PARAMS = Struct("<6I96x")  # sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features
MAX_ENTRIES = 1 << 15

# Where a ring has what, as io_uring_setup reports it; the same in every kernel that maps both queues at once.
COUNTERS = Struct("<4I")  # at 0: head and tail of submissions, head and tail of completions
SQ_FLAGS = 36
CQES = 64


def ring_size(entries: int, completions: int, flags: int) -> int:
    """Bytes of the mapping that holds both queues (io_uring/io_uring.c: rings_size)."""
    size = CQES + completions * (32 if flags & SETUP_CQE32 else 16)
    size = (size + 63) & ~63
    return size if flags & SETUP_NO_SQARRAY else size + 4 * entries


def sqes_size(entries: int, flags: int) -> int:
    """Bytes of the mapping of submission entries."""
    return entries * (128 if flags & SETUP_SQE128 else 64)
