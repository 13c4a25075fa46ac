"""ptrace(2) requests, each as thin as it can be: about a microsecond, whatever the kernel needs included.

Registers are ``bytearray`` copies of ``struct user_regs_struct`` (216 bytes; offsets in `replant.abi.ptrace`), signal
masks integers of 64 bits. Requests go through buffers of this module: as with ptrace itself, one thread traces.

Every request raises `TaskGone` when the task is not there, or not stopped and ours (ESRCH), and ``OSError`` otherwise.
"""

from __future__ import annotations

import ctypes
import os
from errno import ENOENT
from struct import Struct, pack_into, unpack_from

from replant.abi import ptrace as abi
from replant.abi import x86_64
from replant.abi.libc import syscall_raw
from replant.abi.signal import SIGINFO_SIZE
from replant.errors import TaskGone

O_EXITKILL = abi.O_EXITKILL
O_SUSPEND_SECCOMP = abi.O_SUSPEND_SECCOMP
O_TRACESYSGOOD = abi.O_TRACESYSGOOD
O_TRACEFORK = abi.O_TRACEFORK
O_TRACEVFORK = abi.O_TRACEVFORK
O_TRACECLONE = abi.O_TRACECLONE
O_TRACEEXEC = abi.O_TRACEEXEC
NT_X86_XSTATE = abi.NT_X86_XSTATE
ORIG_RAX = abi.ORIG_RAX
RIP = abi.RIP

_raw = ctypes.CDLL(None, use_errno=True).syscall
_raw.restype = ctypes.c_long
_raw.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

_MAX_SIGINFOS = 64
_MAX_REGSET = 1 << 16
_buffer = (ctypes.c_char * _MAX_REGSET)()
_memory = memoryview(_buffer).cast("B")
_at = ctypes.addressof(_buffer)
_iovec = (ctypes.c_uint64 * 2)(_at, 0)
_iovec_at = ctypes.addressof(_iovec)
_word = ctypes.c_uint64()
_word_at = ctypes.addressof(_word)
_peek = Struct("<QIi")
_two = Struct("<QQ")


def request(number: int, tid: int, address: int = 0, data: int = 0) -> int:
    """Any request; ``address`` and ``data`` as in ptrace(2)."""
    result: int = _raw(x86_64.ptrace, number, tid, address, data)
    if result < 0:
        _fail(number, tid)
    return result


def _fail(number: int, tid: int) -> None:
    code = ctypes.get_errno()
    if code == 3:
        raise TaskGone(tid, f"ptrace request {number:#x} was made")
    raise OSError(code, f"ptrace request {number:#x} of task {tid}: {os.strerror(code)}")


def seize(tid: int, options: int = 0) -> None:
    """Trace a task without stopping it (PTRACE_SEIZE); ``options``: PTRACE_O_…"""
    request(abi.SEIZE, tid, 0, options)


def set_options(tid: int, options: int) -> None:
    """Set PTRACE_O_… of a stopped task."""
    request(abi.SETOPTIONS, tid, 0, options)


def interrupt(tid: int) -> None:
    """Stop a seized task, without a signal; the stop is to be waited for."""
    request(abi.INTERRUPT, tid)


def cont(tid: int, signal: int = 0) -> None:
    """Let a stopped task run, and deliver ``signal`` where it stopped for one."""
    request(abi.CONT, tid, 0, signal)


def cont_syscall(tid: int, signal: int = 0) -> None:
    """Let a stopped task run to the next entry or exit of a system call."""
    request(abi.SYSCALL, tid, 0, signal)


def detach(tid: int, signal: int = 0) -> None:
    """Let go of a stopped task."""
    request(abi.DETACH, tid, 0, signal)


def getregs(tid: int) -> bytearray:
    """The general registers."""
    if _raw(x86_64.ptrace, abi.GETREGS, tid, 0, _at) < 0:
        _fail(abi.GETREGS, tid)
    return bytearray(_memory[: abi.USER_REGS_SIZE])


def setregs(tid: int, registers: bytes | bytearray) -> None:
    """Set the general registers, all at once; what the kernel refuses (a segment, an address) is ``EIO``."""
    _memory[: abi.USER_REGS_SIZE] = registers
    if _raw(x86_64.ptrace, abi.SETREGS, tid, 0, _at) < 0:
        _fail(abi.SETREGS, tid)


def set_call(registers: bytearray, instruction: int, nr: int, *args: int) -> None:
    """Make ``registers`` those of a system call by the ``syscall`` at ``instruction``, in no system call so far."""
    pack_into("<q", registers, abi.RAX, nr)
    pack_into("<qQ", registers, abi.ORIG_RAX, -1, instruction)
    for offset, value in zip((abi.RDI, abi.RSI, abi.RDX, abi.R10, abi.R8, abi.R9), args, strict=False):
        pack_into("<Q", registers, offset, value & 0xFFFFFFFFFFFFFFFF)


def result(registers: bytes | bytearray) -> int:
    """What a system call has given: rax, signed."""
    value: int = unpack_from("<q", registers, abi.RAX)[0]
    return value


def launch(tid: int, code: int, record: int) -> None:
    """Let a stopped stub run the blob at ``code`` from the record at ``record`` on; its registers are lost."""
    registers = getregs(tid)
    pack_into("<Q", registers, abi.RBX, record)
    pack_into("<qQ", registers, abi.ORIG_RAX, -1, code)
    setregs(tid, registers)
    cont(tid)


def getsigmask(tid: int) -> int:
    """The blocked signals; inside sigsuspend(2), ppoll(2) & co those that will be blocked afterwards."""
    request(abi.GETSIGMASK, tid, 8, _word_at)
    return _word.value


def setsigmask(tid: int, mask: int) -> None:
    """Set the blocked signals (SIGKILL and SIGSTOP never are)."""
    _word.value = mask
    request(abi.SETSIGMASK, tid, 8, _word_at)


def getregset(tid: int, kind: int = abi.NT_X86_XSTATE) -> bytes:
    """A register set as in a core file; NT_X86_XSTATE: the XSAVE area in its standard form."""
    _iovec[1] = _MAX_REGSET
    request(abi.GETREGSET, tid, kind, _iovec_at)
    return bytes(_memory[: _iovec[1]])


def setregset(tid: int, kind: int, data: bytes) -> None:
    """Set a register set; for the extended state an XRSTOR inside is three times faster."""
    _memory[: len(data)] = data
    _iovec[1] = len(data)
    request(abi.SETREGSET, tid, kind, _iovec_at)


def peeksiginfo(tid: int, shared: bool) -> list[bytes]:
    """``siginfo_t`` (128 bytes each) of the pending signals in order: the thread's own, or the process's."""
    found: list[bytes] = []
    while True:
        _peek.pack_into(_buffer, SIGINFO_SIZE * _MAX_SIGINFOS, len(found), shared, _MAX_SIGINFOS)
        count = request(abi.PEEKSIGINFO, tid, _at + SIGINFO_SIZE * _MAX_SIGINFOS, _at)
        found += [bytes(_memory[at : at + SIGINFO_SIZE]) for at in range(0, count * SIGINFO_SIZE, SIGINFO_SIZE)]
        if count < _MAX_SIGINFOS:
            return found


def getsiginfo(tid: int) -> bytes:
    """``siginfo_t`` of the signal that a signal-delivery stop is about; EINVAL in a group-stop."""
    request(abi.GETSIGINFO, tid, 0, _at)
    return bytes(_memory[:SIGINFO_SIZE])


def geteventmsg(tid: int) -> int:
    """What came with the event of this stop: the tid of a newborn, say."""
    request(abi.GETEVENTMSG, tid, 0, _word_at)
    return _word.value


def get_rseq(tid: int) -> tuple[int, int, int]:
    """Address, length and signature of the registered rseq area, zeros if there is none (rseq(2))."""
    request(abi.GET_RSEQ_CONFIGURATION, tid, 24, _at)
    address, size, signature, _, _ = unpack_from(abi.RSEQ_CONFIGURATION, _buffer)
    return (address, size, signature) if address else (0, 0, 0)


def dispatches_syscalls(tid: int) -> bool:
    """Whether the task has asked for syscall user dispatch (prctl(2)); no kernel without the request has it on."""
    try:
        request(abi.GET_SYSCALL_USER_DISPATCH_CONFIG, tid, 32, _at)
    except OSError:
        return False
    mode: int = unpack_from("<Q", _buffer)[0]
    return mode != 0


def seccomp_filters(tid: int) -> list[tuple[int, bytes]]:
    """The filters of a stopped task, the oldest first: flags (SECCOMP_FILTER_FLAG_LOG), instructions of 8 bytes each.

    The tracer must have CAP_SYS_ADMIN, and no seccomp of its own; of one that is no classic program, EMEDIUMTYPE.
    """
    found: list[tuple[int, bytes]] = []
    while True:
        try:
            count = request(abi.SECCOMP_GET_FILTER, tid, len(found), _at)
        except OSError as error:
            if error.errno == ENOENT:
                return found
            raise
        program = bytes(_memory[: count * 8])
        _two.pack_into(_buffer, 0, len(found), 0)
        request(abi.SECCOMP_GET_METADATA, tid, _two.size, _at)
        found.append((_two.unpack_from(_buffer)[1], program))


def get_robust_list(tid: int) -> tuple[int, int]:
    """Head and length of the list of robust futexes (get_robust_list(2)); the task need not be stopped."""
    code = syscall_raw(x86_64.get_robust_list, tid, _at, _at + 8)
    if code < 0:
        if code == -3:
            raise TaskGone(tid, "its robust list was read")
        raise OSError(-code, f"robust list of task {tid}: {os.strerror(-code)}")
    head, length = unpack_from("<QQ", _buffer)
    return head, length
