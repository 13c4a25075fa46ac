"""What a stop does to a system call that it interrupts, and how it is undone.

A task that sleeps in a system call when it is stopped is found at the return of that call, with one of the kernel's
own error numbers in rax, or with EINTR. On its way to user mode the kernel repeats the call; where we send a task on
without the kernel's help, we do the same.
"""

from __future__ import annotations

from struct import pack_into, unpack_from

from replant.abi import x86_64 as nr
from replant.abi.ptrace import ORIG_RAX, RAX, RIP
from replant.abi.restart import INTERRUPTED, SYSCALL_SIZE
from replant.errors import Blocker

from . import detour, ptrace
from .task import field, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task import FrozenThread

_RESTART_BLOCK = -516  # ERESTART_RESTARTBLOCK: restart_syscall(2) goes on with the remaining time
_REPEATED = (-512, -513, -514)  # ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND
_EINTR = -4


def hurt(thread: FrozenThread) -> bool:
    """Whether the stop has ended a system call with EINTR, that would have slept on without it.

    With a signal to handle, EINTR is what the program would have got anyway.
    """
    rax, orig_rax = _words(thread.registers)
    if rax != _EINTR or orig_rax not in INTERRUPTED:
        return False
    status = read_status(thread.pid, thread.tid)
    return not (int(field(status, b"SigPnd"), 16) | int(field(status, b"ShdPnd"), 16)) & ~thread.sigmask


def heal(thread: FrozenThread) -> None:
    """Undo what the stop has done to a system call, at once: should we die, the program does not see EINTR."""
    if hurt(thread):
        thread.end = thread.end or detour.full_end(thread)
        thread.healed = bytearray(thread.registers)
        _repeat(thread.healed, _words(thread.healed)[1])
        ptrace.setregs(thread.tid, thread.healed)


def send_off(thread: FrozenThread) -> None:
    """Before it is let go of: the call that it repeats takes the time it had left.

    A call gets its EINTR after all, if a signal has come meanwhile: the program may rely on it.
    """
    registers = thread.healed or thread.registers
    if thread.healed and not hurt(thread):
        registers = thread.registers
        ptrace.setregs(thread.tid, registers)
    if thread.end and detour.serves(_words(registers)[0]):
        try:
            ptrace.setregs(thread.tid, detour.begin(thread.tid, thread.pid, registers, thread.end))
        except (OSError, Blocker):
            pass  # no room on its stack, no vDSO, or a filter: it begins with all of its time


def in_user_mode(thread: FrozenThread) -> bytearray:
    """The registers to load by instructions: what the kernel would have repeated is repeated.

    Even where a signal has come in the few instructions before; the kernel would then end such a call with EINTR.
    """
    if thread.healed and hurt(thread):
        return thread.healed
    registers = bytearray(thread.registers)
    rax, orig_rax = _words(registers)
    if orig_rax >= 0:
        if rax in _REPEATED:
            _repeat(registers, orig_rax)
        elif rax == _RESTART_BLOCK:
            _repeat(registers, nr.restart_syscall)
    return registers


def _repeat(registers: bytearray, number: int) -> None:
    """Step back to the ``syscall`` instruction, and let it be call ``number``."""
    (rip,) = unpack_from("<Q", registers, RIP)
    pack_into("<q", registers, RAX, number)
    pack_into("<qQ", registers, ORIG_RAX, -1, rip - SYSCALL_SIZE)


def _words(registers: bytearray) -> tuple[int, int]:
    """rax and orig_rax, signed."""
    return unpack_from("<q", registers, RAX)[0], unpack_from("<q", registers, ORIG_RAX)[0]
