r"""The journal's bytes: a file of blocks, a block of slots, a slot an event.

All numbers are little-endian. A file is made of blocks of 64 KiB; every block belongs to one lane (one
writer: a thread of a process) and is taken by appending it to the file, which the kernel does atomically for
any number of processes. Block 0 opens with the file header, every other block with a block header::

    file header                                block header
     0  magic     "replantJ"                    0  magic     "RPJB"
     8  u32       version                       4  u32       lane: number of the lane's first block
    12  u32       block size, 65536             8  u32       ordinal: blocks this lane took before
    16  u32       pid of the creator           12  u32       pid
    20  u32       flags: 1 = ring              16  u32       tid
    24  u64       CLOCK_MONOTONIC ns \ the     20  u32       0 = events, 1 = definitions
    32  u64       CLOCK_REALTIME ns  / same    24  u64       key of the slots
    40  u64       key of block 0's slots       32  u64       CLOCK_MONOTONIC ns when it was taken
    48  8 bytes   zero                         40  16 bytes  name of the lane, padded with zeros
    56  u64       check of the 56 before       56  u64       check of the 56 before

The other 1023 slots of a block hold records. A record is a head and, when its payload does not fit, more
slots of raw payload::

     0        4        8               16                              56       64
    +--------+----+----+---------------+-------------------------------+--------+
    | site   |size|more| monotonic ns  | arguments, 40 bytes           | key    |
    +--------+----+----+---------------+-------------------------------+--------+
    | payload, 64 bytes a slot, ``more`` slots: raw, no key             ...      |
    +----------------------------------------------------------------------------+

``site`` says which event it is (see :mod:`replant.journal.sites`), ``size`` counts the bytes of its text or payload.
Integers come first in the arguments, 8 bytes each; text follows them if there is room for it all,
else it is the payload.

The key is what makes a record true. It is 62 random bits, different for every use of every block, and the
last bytes of a record to be stored, payload included: a record without the block's key was not
completed, whatever else it holds. A block that a ring takes again gets a new key first, by which all
that stood in it is void at once. Nothing needs zeroing, and nothing has to be found again by scanning.

A writer that ends properly seals its lanes: a last record holds the CRC-32 of all before it, so that
damage to what was written is found as well. What a killed writer left has no seal, and a reader says so.
"""

from __future__ import annotations

from struct import Struct

BLOCK = 65536
SLOT = 64
SLOTS = BLOCK // SLOT
ARGS_AT = 16
ROOM = 40
"""Where the arguments stand in a record's head, and their bytes."""
PAYLOAD_MAX = (SLOTS - 2) * SLOT
"""Bytes of payload that fit behind a head in an empty block."""

FILE_MAGIC = b"replantJ"
BLOCK_MAGIC = b"RPJB"
VERSION = 1
RING = 1
EVENTS, DEFINITIONS = 0, 1

VOID = 0
"""Site number of a slot that was reserved and not used."""
DEFINE = 1
"""Site number of a record whose payload defines sites: four strings each, zero-terminated."""
BATCH = 2
"""Site number of a record whose payload is a batch of system call records, then the reason for it."""

SEAL = 3
"""Site number of a lane's last record, which has the checksum of all before it."""

FILE_HEADER = Struct("<8sIIIIQQQ8x")
BLOCK_HEADER = Struct("<4sIIIIIQQ16s")
HEAD = Struct("<IHHQ40s8s")
BATCH_ARGS = Struct("<IIIIQ")
"""pid, tid, index of the first operation in its program, number of records, nanoseconds the batch took."""
CALL = Struct("<II6Qq")
"""A system call record: number, flags, six arguments, result."""
ERROR_OK = 0x40
"""A flag of a record: an error is no failure."""
SEAL_ARGS = Struct("<III")
"""Number of blocks the lane has, bytes that count of the last one, CRC-32 of them all in the order they were taken."""
CHECK = Struct("<Q")

_PRIME = 0xFFFFFFFB
_CHECK_PRIME = (1 << 61) - 1


def site_number(definition: bytes) -> int:
    """The number of a site, from what it is: writers agree on numbers without a table that they share."""
    return int.from_bytes(definition, "little") % (_PRIME - 16) + 16


def sealed(header: bytes) -> bytes:
    """A header of 56 bytes with its check behind it."""
    return header + CHECK.pack(check(header))


def check(header: bytes) -> int:
    """The check of a header's 56 bytes; a header that was torn by a crash does not have it."""
    return int.from_bytes(b"\1" + header, "little") % _CHECK_PRIME
