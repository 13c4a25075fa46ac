"""``struct sigaction``, ``stack_t`` and the head of ``siginfo_t`` as the kernel of x86-64 lays them out."""

from __future__ import annotations

from struct import Struct

from replant.abi.signal import SIGINFO_SIZE

SIGALRM = 14

SIG_IGN = 1

SA_RESTART = 0x10000000
SA_RESTORER = 0x04000000

#: of a signal set: what the kernel's ``sigsetsize`` argument must be
SIGSET = 8

#: handler, flags, restorer, mask
SIGACTION = Struct("<4Q")
DEFAULT = bytes(SIGACTION.size)

SS_ONSTACK = 1
SS_DISABLE = 2
SS_AUTODISARM = 1 << 31

#: address, flags, size
STACK = Struct("<QI4xQ")

SI_USER = 0
SI_TIMER = -2

_HEAD = Struct("<iii")


def siginfo_head(info: bytes) -> tuple[int, int, int]:
    """si_signo, si_errno, si_code."""
    signo, number, code = _HEAD.unpack_from(info)
    return signo, number, code


def siginfo(signo: int, code: int = SI_USER) -> bytes:
    """A siginfo_t without a sender."""
    return _HEAD.pack(signo, 0, code) + bytes(SIGINFO_SIZE - _HEAD.size)


def bits(mask: int) -> list[int]:
    """The signal numbers in a set, in ascending order."""
    return [number + 1 for number in range(mask.bit_length()) if mask >> number & 1]
