"""``struct user_regs_struct`` of x86-64 (``asm/ptrace.h``): 27 registers of 8 bytes, by their place."""

from __future__ import annotations

from struct import Struct

REGISTERS = Struct("<27Q")

RAX = 10
RDI = 14
RSI = 13
RDX = 12
R10 = 7
ORIG_RAX = 15
RIP = 16
CS = 17
RSP = 19

#: code segment of 64-bit user code
USER_CS = 0x33

NO_SYSCALL = (1 << 64) - 1  # orig_rax outside of a system call
