"""How a wait goes on with the time it had left, where the kernel has no record of it: epoll_wait(2), recv(2) & co.

The call is begun again, with another timeout. But of a system call a program gets all registers back except rax, rcx
and r11, and compilers rely on that. So the thread makes the call on a detour: some bytes at the end of the vDSO's
padding (detour.S) make the call and return with what the registers had been, and the stack. What they need stands below
the red zone, as the frame of a signal handler would. A thread that is found in the midst of it is taken back to its own
instruction.

A call on a socket has its timeout from SO_RCVTIMEO or SO_SNDTIMEO, which other users of that socket have too. Here the
detour waits by ppoll(2) for so long as was left, and gives the program EAGAIN when nothing has come; the call itself is
made when it would not block. If another thread then is faster, or MSG_WAITALL wants more, it begins with all of its
time. A seccomp filter might object to the ppoll: with one, the call itself begins with all of its time.
"""

from __future__ import annotations

import time
from errno import EINTR
from struct import Struct, pack_into, unpack_from

from replant.abi import x86_64 as nr
from replant.abi.mman import PAGE
from replant.abi.ptrace import EFLAGS, ORIG_RAX, R8, R10, RAX, RDI, RDX, RIP, RSI, RSP
from replant.abi.restart import ERESTARTNOHAND, SOCKET_WAITS, SYSCALL_SIZE, TIMEOUTS
from replant.errors import Blocker

from . import memory, ptrace, vdso
from .task import field, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task import FrozenThread

CODE = bytes.fromhex(
    "0f054885c078297507488b442450eb20488b7c2408488b742410488b5424184c8b5424204c8b442428488b4424580f05"
    "9d5f5e5a415a4158c2b000"
)
WAIT, CALL = 0, 0x2E  # where the two system calls are
_FRAME = Struct("<QQQQQQ Q qq Q q Q iI")  # as drawn in detour.S
_KEPT = (EFLAGS, RDI, RSI, RDX, R10, R8)
_TIMEOUT, _POLLFD = 56, 96
_RED_ZONE = 128
_TIMESPEC = Struct("<qq")
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


def serves(call: int) -> bool:
    """Whether that call can be made on the detour."""
    return call in TIMEOUTS or call in SOCKET_WAITS


def begin(tid: int, pid: int, registers: bytes | bytearray, end: int) -> bytearray:
    """Registers with which a thread, about to make a call that the detour `serves`, makes it there.

    :raises OSError: the stack has no room. :raises Blocker: there is no vDSO, or a filter. :raises TaskGone:
    """
    call, place = _word(registers, RAX), _word(registers, RSP) - _RED_ZONE - _FRAME.size
    changed = bytearray(registers)
    left = max(0, end - time.monotonic_ns())
    if call in TIMEOUTS:
        at, poll = CALL, (0, 0, 0)
        register, unit = TIMEOUTS[call]
        _set(changed, (register, -(-left // unit) if unit else place + _TIMEOUT))
    else:
        _refuse_filtered(pid, tid)
        at, poll = WAIT, (-SOCKET_WAITS[call][1], _word(registers, RDI) & 0x7FFFFFFF, SOCKET_WAITS[call][0])
        arguments = (RDI, place + _POLLFD), (RSI, 1), (RDX, place + _TIMEOUT), (R10, 0)
        _set(changed, (RAX, nr.ppoll), *arguments)
    kept = [_word(registers, register) for register in _KEPT]
    timeout = divmod(left, _SECOND)
    frame = _FRAME.pack(*kept, _word(registers, RIP) + SYSCALL_SIZE, *timeout, end, poll[0], call, *poll[1:])
    memory.write(pid, place, frame)
    _set(changed, (RSP, place), (ORIG_RAX, -1), (RIP, put(pid) + at))
    return changed


def _refuse_filtered(pid: int, tid: int) -> None:
    if field(read_status(pid, tid), b"Seccomp") != b"0":
        raise Blocker(f"task {tid} is under seccomp", code="seccomp", pid=pid)


def leave(thread: FrozenThread) -> bool:
    """Take a thread that stands before or behind a call of its detour back; False if it does not.

    Before a call, or interrupted in it, it is before or behind its own call, just so.
    """
    at, registers = thread.rip % PAGE - _place() % PAGE, thread.registers
    if at not in (WAIT, WAIT + SYSCALL_SIZE, CALL, CALL + SYSCALL_SIZE):
        return False
    place = _word(registers, RSP)
    *kept, back, _, _, end, late, call, _, _ = _FRAME.unpack(memory.read(thread.pid, place, _FRAME.size))
    result = int.from_bytes(registers[RAX : RAX + 8], "little", signed=True)
    if at == WAIT + SYSCALL_SIZE:
        _set(registers, (ORIG_RAX, call if result == -ERESTARTNOHAND else -1))
        result = {0: late, -ERESTARTNOHAND: -EINTR}.get(result, result)
    _set(registers, *zip(_KEPT, kept, strict=True), (RSP, place + _FRAME.size + _RED_ZONE), (RIP, back), (RAX, result))
    ready = at == WAIT + SYSCALL_SIZE and result > 0
    if at in (WAIT, CALL) or ready:
        _set(registers, (RIP, back - SYSCALL_SIZE), (RAX, call), (ORIG_RAX, -1))
    ptrace.setregs(thread.tid, registers)
    waits = at in (WAIT, CALL) or result == -EINTR
    thread.end = end if waits and (call in TIMEOUTS or at < CALL) else 0
    return True


def put(pid: int) -> int:
    """Give a process the code; its address. :raises Blocker: :raises TaskGone:"""
    inside = memory.Memory(pid)
    try:
        code = vdso.base(pid, inside) + _place()
        inside.write(code, CODE)
        return code
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


def _set(registers: bytearray, *values: tuple[int, int]) -> None:
    for at, value in values:
        pack_into("<Q", registers, at, value & 0xFFFFFFFFFFFFFFFF)
