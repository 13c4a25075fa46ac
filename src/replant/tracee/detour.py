"""How a wait goes on with the time it had left, where only its arguments say how long it takes: epoll_wait(2) & co.

The call is begun again, with another timeout. But of a system call a program gets all registers back except rax, rcx
and r11, and compilers rely on that. So the thread makes the call on a detour: ten bytes at the end of the vDSO's
padding, which do nothing else, and return with what the registers had been, and the stack. What they need stands below
the red zone, as the frame of a signal handler would:

    rsp -> | rdx | r8 | r10 | where it goes on | timeout: s, ns | end | … 128 bytes of red zone … | what rsp had been

``end`` is CLOCK_MONOTONIC in ns. A thread that is found in the midst of it is taken back to its own instruction.
"""

from __future__ import annotations

import time
from struct import Struct, pack_into, unpack_from

from replant.abi.mman import PAGE
from replant.abi.ptrace import ORIG_RAX, R8, R10, RAX, RDX, RIP, RSP
from replant.abi.restart import SYSCALL_SIZE, TIMEOUTS

from . import memory, ptrace, vdso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task import FrozenThread

CODE = bytes.fromhex("0f05 5a 4158 415a c29800")  # syscall; pop rdx; pop r8; pop r10; ret 128 + 24
_FRAME = Struct("<7Q")
_TIMEOUT = 32  # where the frame has it
_RED_ZONE = 128
_TIMESPEC = Struct("<qq")
_EINTR = (-4).to_bytes(8, "little", signed=True)
_SECOND = 1_000_000_000


def full_end(thread: FrozenThread) -> int:
    """When the call that a thread is about to repeat ends if it begins now, 0 if never."""
    register, unit = TIMEOUTS.get(_word(thread.registers, ORIG_RAX), (0, 0))
    value = _word(thread.registers, register) if register else 0
    if unit:
        left = (value & 0xFFFFFFFF) * unit if not value & 1 << 31 else -1
    else:
        left = _timespec(thread.pid, value) if value else -1
    return time.monotonic_ns() + left if register and left >= 0 else 0


def _timespec(pid: int, place: int) -> int:
    try:
        seconds, ns = _TIMESPEC.unpack(memory.read(pid, place, _TIMESPEC.size))
    except OSError:
        return -1
    return seconds * _SECOND + ns if 0 <= ns < _SECOND else -1


def begin(pid: int, registers: bytes | bytearray, end: int) -> bytearray:
    """Registers with which a thread, about to make a call of `TIMEOUTS`, makes it on the detour.

    :raises OSError: the stack has no room. :raises Blocker: there is no vDSO. :raises TaskGone:
    """
    inside = memory.Memory(pid)
    try:
        code = vdso.base(pid, inside) + _place()
        place = _word(registers, RSP) - _RED_ZONE - _FRAME.size
        left = max(0, end - time.monotonic_ns())
        kept = [_word(registers, r) for r in (RDX, R8, R10)]
        frame = _FRAME.pack(*kept, _word(registers, RIP) + SYSCALL_SIZE, *divmod(left, _SECOND), end)
        memory.write(pid, place, frame)
        inside.write(code, CODE)
    finally:
        inside.close()
    register, unit = TIMEOUTS[_word(registers, RAX)]
    changed = bytearray(registers)
    pack_into("<Q", changed, register, -(-left // unit) if unit else place + _TIMEOUT)
    pack_into("<Q", changed, RSP, place)
    pack_into("<qQ", changed, ORIG_RAX, -1, code)
    return changed


def leave(thread: FrozenThread) -> bool:
    """Take a thread that stands before or behind the call of its detour back; False if it does not."""
    behind = thread.rip % PAGE - _place() % PAGE
    if behind not in (0, SYSCALL_SIZE):
        return False
    place = _word(thread.registers, RSP)
    rdx, r8, r10, after, _, _, end = _FRAME.unpack(memory.read(thread.pid, place, _FRAME.size))
    registers = thread.registers
    waits = not behind or registers[RAX : RAX + 8] == _EINTR
    for register, value in ((RDX, rdx), (R8, r8), (R10, r10), (RSP, place + _FRAME.size + _RED_ZONE)):
        pack_into("<Q", registers, register, value)
    pack_into("<Q", registers, RIP, after if behind else after - SYSCALL_SIZE)
    ptrace.setregs(thread.tid, registers)
    thread.end = end if waits else 0
    return True


def put(pid: int) -> None:
    """Give a process the code. :raises Blocker: :raises TaskGone:"""
    inside = memory.Memory(pid)
    try:
        inside.write(vdso.base(pid, inside) + _place(), CODE)
    finally:
        inside.close()


def has_code(pid: int, base: int) -> bool:
    """Whether a process, whose vDSO is at ``base``, has the code: a signal frame of it may lead there."""
    try:
        return memory.read(pid, base + _place(), len(CODE)) == CODE
    except OSError:
        return False


def _place() -> int:
    return (vdso.room() & -PAGE) + PAGE - vdso.DETOUR


def _word(registers: bytes | bytearray, at: int) -> int:
    value: int = unpack_from("<Q", registers, at)[0]
    return value
