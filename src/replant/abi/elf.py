"""ELF files of x86-64, and core files as Linux writes them: ``elf.h``, ``linux/elfcore.h``, ``asm/elf.h``."""

from __future__ import annotations

from struct import Struct

ET_CORE = 4
EM_X86_64 = 62
PT_LOAD = 1
PT_NOTE = 4
PF_X, PF_W, PF_R = 1, 2, 4
PN_XNUM = 0xFFFF  # the true number of program headers stands in sh_info of section 0
SHT_NULL = 0
SHT_DYNSYM = 11
STT_FUNC = 2  # in the lower four bits of a symbol's info

NT_PRSTATUS = 1
NT_FPREGSET = 2
NT_PRPSINFO = 3
NT_AUXV = 6
NT_FILE = 0x46494C45
NT_X86_XSTATE = 0x202

GREGSET = 216
"""Bytes of elf_gregset_t, the same as user_regs_struct."""
#: e_ident, type, machine, version, entry, phoff, shoff, flags, ehsize, phentsize, phnum, shentsize, shnum, shstrndx
EHDR = Struct("<16sHHIQQQIHHHHHH")
#: type, flags, offset, vaddr, paddr, filesz, memsz, align
PHDR = Struct("<IIQQQQQQ")
#: name, type, flags, addr, offset, size, link, info, addralign, entsize
SHDR = Struct("<IIQQQQIIQQ")
#: name, info, other, shndx, value, size
SYM = Struct("<IBBHQQ")
#: namesz, descsz, type
NHDR = Struct("<III")
#: si_signo, si_code, si_errno, cursig, sigpend, sighold, pid, ppid, pgrp, sid, four times, registers, fpvalid
PRSTATUS = Struct("<iiih2xQQiiii64x216si4x")
#: state, sname, zomb, nice, flag, uid, gid, pid, ppid, pgrp, sid, fname, psargs
PRPSINFO = Struct("<bcbb4xQIIiiii16s80s")
IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)


def note(name: bytes, kind: int, data: bytes) -> bytes:
    """A note: its name and its contents each padded to 4 bytes (elf(5))."""
    return NHDR.pack(len(name) + 1, len(data), kind) + _padded(name + b"\0") + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
