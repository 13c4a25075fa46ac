"""System V IPC: numbers of ``linux/ipc.h``, ``shm.h``, ``msg.h``, ``sem.h``, and the structures of ``asm-generic``.

All three ``*id64_ds`` begin with ``struct ipc64_perm``: key, uid, gid, cuid, cgid, mode, seq, 48 bytes in all.
"""

from __future__ import annotations

import struct

IPC_PRIVATE = 0
IPC_CREAT = 0o1000
IPC_EXCL = 0o2000
IPC_NOWAIT = 0o4000
IPC_RMID = 0
IPC_SET = 1
IPC_STAT = 2

SHM_RDONLY = 0o10000
SHM_EXEC = 0o100000
SHM_HUGETLB = 0o4000
SHM_LOCK = 11
# of the mode that the kernel shows: the segment goes with its last attachment; it is locked into memory
SHM_DEST = 0o1000
SHM_LOCKED = 0o2000

MSG_COPY = 0o40000

GETPID = 11
GETALL = 13
GETNCNT = 14
GETZCNT = 15
SETVAL = 16
SEM_UNDO = 0x1000
SEMVMX = 32767

SHMID_DS = 112
MSQID_DS = 120
SEMID_DS = 104
_QBYTES = struct.Struct("=Q")
_QBYTES_AT = 88


def pack_owner(size: int, uid: int, gid: int, mode: int) -> bytearray:
    """One of the three structures, ``size`` bytes, for IPC_SET: owner and mode."""
    return bytearray(struct.pack("=4xII8xI", uid, gid, mode & 0o777).ljust(size, b"\0"))


def pack_queue(uid: int, gid: int, mode: int, qbytes: int) -> bytes:
    """``struct msqid64_ds`` for IPC_SET: owner, mode and how many bytes may wait."""
    packed = pack_owner(MSQID_DS, uid, gid, mode)
    _QBYTES.pack_into(packed, _QBYTES_AT, qbytes)
    return bytes(packed)


def queue_limit(packed: bytes | bytearray) -> int:
    """How many bytes may wait in a queue, from its ``struct msqid64_ds``."""
    limit: int = _QBYTES.unpack_from(packed, _QBYTES_AT)[0]
    return limit


def pack_sembuf(*operations: tuple[int, int, int]) -> bytes:
    """``struct sembuf`` of semop(2), several in a row: number, operation, flags."""
    return b"".join([struct.pack("=Hhh", *operation) for operation in operations])
