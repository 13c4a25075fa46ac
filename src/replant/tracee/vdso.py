"""The vDSO of a process, and the room behind it.

The kernel maps the same file into every 64-bit process, executable and readable, and fills its last page with zeros:
room for some hundred bytes of code that no allocator hands out and no program reads.
"""

from __future__ import annotations

import ctypes
from struct import unpack_from

from replant.abi import vdso as abi
from replant.abi.mman import PAGE
from replant.errors import Blocker, ReplantError, TaskGone

from . import blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import Memory

DETOUR = 64  # bytes at the end of the padding that are not the blob's, but of `replant.tracee.detour`
_found: list[int] = []
_last: list[int] = []
_pages: list[bytes] = []


def room() -> int:
    """The offset in the vDSO of the first byte that belongs to nothing, a multiple of 64.

    :raises ReplantError: this process has no vDSO, or it is too full.
    """
    if not _found:
        _found.append(_room(_own()))
    return _found[0]


def first_page() -> bytes:
    """The first page, the same in every process."""
    if not _pages:
        _pages.append(ctypes.string_at(_own(), PAGE))
    return _pages[0]


def base(pid: int, memory: Memory) -> int:
    """Where a process has its vDSO.

    :raises Blocker: nowhere (vdso=0, a 32-bit program, or it has unmapped it).
    """
    for look in (_from_last, _from_auxv, _from_maps):
        address = look(pid)
        if address and _is_there(memory, address):
            _last[:] = [address]
            return address
    raise Blocker(
        f"process {pid} has no 64-bit vDSO",
        code="no-vdso",
        pid=pid,
        resource=f"process {pid}",
        hint="32-bit programs, and those that unmap their vDSO, cannot be dumped",
    )


def _is_there(memory: Memory, address: int) -> bool:
    try:
        return memory.read(address, PAGE) == first_page()
    except (OSError, TaskGone):
        return False


def _own() -> int:
    address = abi.address()
    if not address:
        raise ReplantError("this kernel gives programs no vDSO", code="no-vdso", hint="boot without vdso=0")
    return address


def _room(elf: int) -> int:
    """Past headers, segments and sections; debuggers read the section headers, which belong to no segment."""
    header = ctypes.string_at(elf, 64)
    phoff, shoff, phentsize, phnum, shentsize, shnum = unpack_from("<QQ6xHHHH", header, 32)
    end = max(phoff + phentsize * phnum, shoff + shentsize * shnum)
    for at in range(elf + phoff, elf + phoff + phentsize * phnum, phentsize):
        kind, offset, size = unpack_from("<I4xQ16xQ", ctypes.string_at(at, 56))
        if kind == 1:
            end = max(end, offset + size)
    start: int = end + 63 & ~63
    if start % PAGE == 0 or start % PAGE + blob.END > PAGE - DETOUR:
        raise ReplantError("the vDSO of this kernel leaves no room for our code", code="no-room-in-vdso")
    return start


def _from_last(pid: int) -> int:
    """Processes that have been forked from one another have it at the same place."""
    return _last[0] if _last else 0


def _from_auxv(pid: int) -> int:
    with open(f"/proc/{pid}/auxv", "rb", buffering=0) as file:
        data = file.read(1024)
    words: list[int] = memoryview(data[: len(data) & ~15]).cast("Q").tolist()
    values: dict[int, int] = dict(zip(words[::2], words[1::2], strict=True))
    return values.get(abi.AT_SYSINFO_EHDR, 0)


def _from_maps(pid: int) -> int:
    with open(f"/proc/{pid}/maps", "rb") as file:
        for line in file:
            if line.endswith(b"[vdso]\n"):
                return int(line.partition(b"-")[0], 16)
    return 0
