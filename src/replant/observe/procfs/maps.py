"""/proc/PID/maps and smaps: the mappings of an address space, with the kernel's flags of each where asked for."""

from __future__ import annotations

from ..record import Record
from .read import read_memory, task_path, text

READ, WRITE, EXEC, SHARED = 1, 2, 4, 8


class Mapping(Record):
    """One VMA. ``prot`` has the bits of mmap(2), ``dev`` is (major, minor), ``offset`` is in bytes.

    ``path`` is the file's, a name in brackets (``[heap]``, ``[vdso]``, ``[anon:…]``), or empty. ``flags`` are the
    two-letter words of VmFlags in smaps, separated by blanks, and ``pk3`` for protection key 3; ``None`` when they were
    not asked for.
    """

    start: int
    end: int
    prot: int
    shared: bool
    offset: int
    dev: tuple[int, int]
    inode: int
    path: str
    flags: str | None


def maps(pid: int, vmflags: bool = True) -> list[Mapping]:
    """All mappings by address; none for a zombie or a kernel thread.

    With ``vmflags`` smaps is read, which makes the kernel walk the page tables: 5-10 times slower.

    :raises TaskGone: the task has ended and been reaped.
    """
    if vmflags:
        return _from_smaps(read_memory(pid, task_path(pid) + "/smaps"))
    return [_mapping(line, None) for line in read_memory(pid, task_path(pid) + "/maps").splitlines()]


def _from_smaps(data: bytes) -> list[Mapping]:
    # a record ends with its VmFlags line, so a chunk holds the flags of one mapping and the head of the next
    chunks = data.split(b"\nVmFlags:")
    heads = [chunks[0].split(b"\n", 1)[0], *[chunk.split(b"\n", 2)[1] for chunk in chunks[1:]]]
    known: dict[bytes, str] = {}
    found = []
    keys = b"\nProtectionKey:" in chunks[0]  # a line that all have, on a CPU with protection keys
    for head, before, chunk in zip(heads, chunks, chunks[1:], strict=False):
        raw = chunk.split(b"\n", 1)[0]
        flags = known.get(raw)
        if flags is None:
            flags = known[raw] = raw.decode().strip()
        if keys:
            flags += _key(before)
        found.append(_mapping(head, flags))
    return found


def _key(record: bytes) -> str:
    """The protection key of a mapping as one more word; none for the key that everything has."""
    number = record.rpartition(b"\nProtectionKey:")[2].split(None, 1)[0].decode()
    return f" pk{number}" if number != "0" else ""


_PROT = {
    read + write + execute: (r | w | x)
    for read, r in ((b"r", READ), (b"-", 0))
    for write, w in ((b"w", WRITE), (b"-", 0))
    for execute, x in ((b"x", EXEC), (b"-", 0))
}


def _mapping(line: bytes, flags: str | None) -> Mapping:
    words = line.split(None, 5)
    start, end = words[0].split(b"-")
    major, minor = words[3].split(b":")
    mode = words[1]
    return Mapping._make(
        (
            int(start, 16),
            int(end, 16),
            _PROT[mode[:3]],
            mode[3:] == b"s",
            int(words[2], 16),
            (int(major, 16), int(minor, 16)),
            int(words[4]),
            text(words[5].replace(b"\\012", b"\n")) if len(words) > 5 else "",
            flags,
        )
    )
