"""Signal numbers and ``siginfo_t`` of x86-64 (``asm/signal.h``, ``asm-generic/siginfo.h``).

The standard library has the numbers too, in a module whose import costs more than a thousand system calls.
"""

from __future__ import annotations

SIGTRAP = 5
SIGKILL = 9
SIGPIPE = 13
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
SIGTSTP = 20
SIGTTIN = 21
SIGTTOU = 22
SIGURG = 23
SIGWINCH = 28
NSIG = 64

SIG_SETMASK = 2
SIGINFO_SIZE = 128
SI_TKILL = -6

STOPPING = frozenset((SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU))
IGNORED_BY_DEFAULT = (SIGURG, SIGWINCH, SIGCHLD)  # and SIGCONT, which undoes stops


def bit(number: int) -> int:
    """The bit of a signal in a mask of 64 bits."""
    return 1 << number - 1
