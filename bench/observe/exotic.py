"""Ways that were tried and are not part of the package: batching of system calls, and newer single interfaces.

They read the same files as the tuned procfs way, so that what differs is only how the kernel is called.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Sequence

from replant.abi import x86_64
from replant.abi.libc import address, syscall
from replant.observe.sockets import TCP, Diag

Rows = Sequence[object]

# a loop over records {u64 number, u64 arguments[6], s64 result}: load, syscall, store, next
_LOOP = "53554889fb4889f58b03488b7b08488b7310488b53184c8b53200f05488943384883c34048ffcd75df5d5bc3"
_AT_FDCWD = -100


def tasks_batch(pids: Sequence[int]) -> Rows:
    """Machine code in this very process makes all calls: open, read and close of stat and status of every process."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code[: len(_LOOP) // 2] = bytes.fromhex(_LOOP)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    # one thread, so the lowest free descriptor is the same each time: no result has to be carried over
    fd = os.open("/", os.O_PATH)
    os.close(fd)
    files = [f"/proc/{pid}/{name}".encode() for pid in pids for name in ("stat", "status")]
    names = bytearray(b"".join(name.ljust(32, b"\0") for name in files))
    data = bytearray(4096 * len(files))
    records, where, texts = bytearray(), address(data), address(names)
    pack = struct.Struct("8q").pack
    for i in range(len(files)):
        records += pack(x86_64.openat, _AT_FDCWD, texts + 32 * i, 0, 0, 0, 0, 0)
        records += pack(x86_64.read, fd, where + 4096 * i, 4096, 0, 0, 0, 0)
        records += pack(x86_64.close, fd, 0, 0, 0, 0, 0, 0)
    run(address(records), len(files) * 3)
    sizes = struct.unpack_from(f"{len(files) * 24}q", records)[15::24]
    return _tasks([data[4096 * i : 4096 * i + size] for i, size in enumerate(sizes)])


def _tasks(texts: Sequence[bytes | bytearray]) -> Rows:
    rows = []
    for line, status in zip(texts[::2], texts[1::2], strict=True):
        close = line.rindex(b")")
        rest = line[close + 2 :].split()
        uid = status.index(b"\nUid:")
        uids = tuple(map(int, status[uid + 5 : status.index(b"\n", uid + 1)].split()))
        rows.append((line[:close], *rest[:4], uids, rest[19], rest[20]))
    return rows


class _Ring:
    """io_uring(7), as far as opening, reading and closing files takes."""

    def __init__(self, entries: int) -> None:
        parameters = bytearray(120)
        self.fd = syscall(425, entries, parameters)
        self.entries, self.cq_entries = struct.unpack_from("=II", parameters)
        sq, cq = struct.unpack_from("=10I", parameters, 40), struct.unpack_from("=10I", parameters, 80)
        self.sq_tail, self.sq_array, self.cq_head, self.cq_tail, self.cqes = sq[1], sq[6], cq[0], cq[1], cq[5]
        self.rings = mmap.mmap(self.fd, max(self.cqes + self.cq_entries * 16, self.sq_array + self.entries * 4))
        self.sqes = mmap.mmap(self.fd, self.entries * 64, offset=0x10000000)
        self.tail = 0

    def run(self, sqes: bytes) -> list[int]:
        """Submits, waits for all, gives results by user_data."""
        count = len(sqes) // 64
        self.sqes[: len(sqes)] = sqes
        for i in range(count):
            place = (self.tail + i) & (self.entries - 1)
            struct.pack_into("=I", self.rings, self.sq_array + 4 * place, i)
        self.tail += count
        struct.pack_into("=I", self.rings, self.sq_tail, self.tail)
        done = 0
        while done < count:
            done += syscall(426, self.fd, count - done, count - done, 1, 0, 0)
        head, tail = (
            struct.unpack_from("=I", self.rings, self.cq_head)[0],
            struct.unpack_from("=I", self.rings, self.cq_tail)[0],
        )
        results = [0] * count
        for i in range(head, tail):
            user, result, _ = struct.unpack_from("=QiI", self.rings, self.cqes + (i & (self.cq_entries - 1)) * 16)
            results[user] = result
        struct.pack_into("=I", self.rings, self.cq_head, tail)
        return results


def tasks_io_uring(pids: Sequence[int]) -> Rows:
    """Chains of open, read, close with direct descriptors, 256 chains a system call."""
    ring = _Ring(1024)
    try:
        slots = struct.pack("=256i", *[-1] * 256)
        syscall(427, ring.fd, 2, slots, 256)
        files = [f"/proc/{pid}/{name}".encode().ljust(32, b"\0") for pid in pids for name in ("stat", "status")]
        names, data = bytearray(b"".join(files)), bytearray(4096 * len(files))
        texts, where = address(names), address(data)
        sizes: list[int] = []
        pack = struct.Struct("=BBHiQQIIQHHIQQ").pack
        for first in range(0, len(files), 256):
            sqes = bytearray()
            for slot, i in enumerate(range(first, min(first + 256, len(files)))):
                # IORING_OP_OPENAT 18, READ 22, CLOSE 19; IOSQE_FIXED_FILE 1, IO_LINK 4
                sqes += pack(18, 4, 0, -100, 0, texts + 32 * i, 0, 0, 3 * slot, 0, 0, slot + 1, 0, 0)
                sqes += pack(22, 5, 0, slot, 0, where + 4096 * i, 4096, 0, 3 * slot + 1, 0, 0, 0, 0, 0)
                sqes += pack(19, 0, 0, 0, 0, 0, 0, 0, 3 * slot + 2, 0, 0, slot + 1, 0, 0)
            sizes += ring.run(bytes(sqes))[1::3]
        return _tasks([data[4096 * i : 4096 * i + size] for i, size in enumerate(sizes)])
    finally:
        os.close(ring.fd)


_PROCMAP_QUERY = 0xC0686611
_NEXT_VMA = 0x10


def maps_procmap_query(pids: Sequence[int]) -> Rows:
    """One ioctl for each mapping; it has no VmFlags."""
    fd = os.open(f"/proc/{pids[0]}/maps", os.O_RDONLY)
    name = ctypes.create_string_buffer(4096)
    rows, at = [], 0
    query = struct.Struct("=9QIIIIQQ")
    try:
        while True:
            asked = bytearray(query.pack(104, _NEXT_VMA, at, *[0] * 6, 0, 0, 4096, 0, ctypes.addressof(name), 0))
            fcntl.ioctl(fd, _PROCMAP_QUERY, asked)
            found = query.unpack(asked)
            rows.append((*found[3:], name.value if found[11] else b""))
            at = found[4]
    except FileNotFoundError:
        return rows
    finally:
        os.close(fd)


# mounts


def mounts_text(pids: Sequence[int]) -> Rows:
    from replant.observe import procfs

    return procfs.mountinfo(pids[0])


def mounts_statmount(_pids: Sequence[int]) -> Rows:
    """listmount(2), then statmount(2) for each mount; own namespace only."""
    ids = bytearray(8 * 4096)
    root = (1 << 64) - 1
    count = syscall(x86_64.listmount, struct.pack("=IIQQ", 24, 0, root, 0), ids, 4096, 0)
    rows = []
    answer = bytearray(4096)
    for mount in struct.unpack_from(f"={count}Q", ids):
        syscall(x86_64.statmount, struct.pack("=IIQQ", 24, 0, mount, 0x3F), answer, 4096, 0)
        rows.append(bytes(answer[: int.from_bytes(answer[:4], "little")]))
    return rows


# sockets


def sockets_psutil(_pids: Sequence[int]) -> Rows:
    import psutil

    return psutil.net_connections("tcp4")


def sockets_text(_pids: Sequence[int]) -> Rows:
    with open("/proc/net/tcp") as file:
        return [line.split() for line in file][1:]


def sockets_diag(_pids: Sequence[int]) -> Rows:
    with Diag() as diag:
        return [s for s in diag.inet((TCP,)) if s.family == socket.AF_INET]


def sockets_bpf(_pids: Sequence[int]) -> Rows:
    from ways import observer

    from replant.observe.facts import File

    names = ("pid", "fd", "family", "protocol", "inode", "tcp_sequences")
    return [row for row in observer("bpf").look(File, names).records if row[2] == socket.AF_INET]
