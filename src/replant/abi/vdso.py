"""The vDSO, vdso(7): a small ELF library of the kernel's in every process (``arch/x86/entry/vdso``, elf(5)).

It is read by its section headers, which the kernel maps too: a table of symbols does not tell how long it is.
"""

from __future__ import annotations

import ctypes
from struct import error as StructError

from replant.abi import elf
from replant.abi.mman import PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

AT_SYSINFO_EHDR = 33
_PREFIX = "__vdso_"


def address() -> int:
    """Where this process has it, by its auxiliary vector; 0: nowhere (booted with vdso=0)."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    at: int = libc.getauxval(ctypes.c_ulong(AT_SYSINFO_EHDR))
    return at


def code() -> bytes:
    """All of this process's, in whole pages: the kernel has fitted it to the CPU (alternatives); b"" without one."""
    start = address()
    if not start:
        return b""
    _, _, _, _, _, _, sections, _, _, _, _, size, count, _ = elf.EHDR.unpack(ctypes.string_at(start, elf.EHDR.size))
    return ctypes.string_at(start, sections + size * count + PAGE - 1 & -PAGE)


def functions(image: bytes) -> dict[str, int]:
    """The offset of each function; most have two names, of which the one without ``__vdso_`` is given.

    :raises ValueError: these bytes are no ELF library with a table of symbols.
    """
    try:
        return dict(_functions(image))
    except (StructError, StopIteration, IndexError, OverflowError) as e:
        raise ValueError("these bytes are no vDSO") from e


def _functions(image: bytes) -> list[tuple[str, int]]:
    sections = list(_sections(image))
    at, size, link = next((s[4], s[5], s[6]) for s in sections if s[1] == elf.SHT_DYNSYM)
    names = sections[link][4]
    symbols = [elf.SYM.unpack_from(image, at + n) for n in range(0, size, elf.SYM.size)]
    return [(_name(image, names + name), value) for name, info, _, _, value, _ in symbols if info & 15 == elf.STT_FUNC]


def _sections(image: bytes) -> Iterator[tuple[int, ...]]:
    header = elf.EHDR.unpack_from(image)
    for n in range(header[12]):
        yield elf.SHDR.unpack_from(image, header[6] + n * elf.SHDR.size)


def _name(image: bytes, at: int) -> str:
    return image[at : image.find(b"\0", at)].decode(errors="replace").removeprefix(_PREFIX)
