"""Signal numbers and ``siginfo_t`` of x86-64 (``asm/signal.h``, ``asm-generic/siginfo.h``).

The standard library has the numbers too, in a module whose import costs more than a thousand system calls.
"""

from __future__ import annotations

SIGILL = 4
SIGTRAP = 5
SIGBUS = 7
SIGFPE = 8
SIGKILL = 9
SIGSEGV = 11
SIGPIPE = 13
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
SIGTSTP = 20
SIGTTIN = 21
SIGTTOU = 22
SIGURG = 23
SIGWINCH = 28
SIGSYS = 31
NSIG = 64

SIG_SETMASK = 2
SIGINFO_SIZE = 128
SI_TKILL = -6

STOPPING = frozenset((SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU))
IGNORED_BY_DEFAULT = (SIGURG, SIGWINCH, SIGCHLD)  # and SIGCONT, which undoes stops
FAULTS = frozenset((SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS))


def bit(number: int) -> int:
    """The bit of a signal in a mask of 64 bits."""
    return 1 << number - 1
