"""System calls in words, as strace(1) shows them: what each argument is, and the names of its flags.

Arguments are known by their kind, from the section 2 manual page of each call; addresses and what stands at them are
not looked at: a record has the numbers only.
"""

from __future__ import annotations

import signal

from replant.abi import call_table, fcntl, mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

_ADDRESSES = frozenset(("mmap", "mremap", "brk", "shmat", "xrstor"))


def _words(module: ModuleType, prefix: str) -> dict[int, str]:
    return {value: word for word, value in vars(module).items() if word.startswith(prefix) and type(value) is int}


CLONE = {
    0x100: "CLONE_VM",
    0x200: "CLONE_FS",
    0x400: "CLONE_FILES",
    0x800: "CLONE_SIGHAND",
    0x1000: "CLONE_PIDFD",
    0x2000: "CLONE_PTRACE",
    0x4000: "CLONE_VFORK",
    0x8000: "CLONE_PARENT",
    0x10000: "CLONE_THREAD",
    0x20000: "CLONE_NEWNS",
    0x40000: "CLONE_SYSVSEM",
    0x80000: "CLONE_SETTLS",
    0x100000: "CLONE_PARENT_SETTID",
    0x200000: "CLONE_CHILD_CLEARTID",
    0x800000: "CLONE_UNTRACED",
    0x1000000: "CLONE_CHILD_SETTID",
    0x2000000: "CLONE_NEWCGROUP",
    0x4000000: "CLONE_NEWUTS",
    0x8000000: "CLONE_NEWIPC",
    0x10000000: "CLONE_NEWUSER",
    0x20000000: "CLONE_NEWPID",
    0x40000000: "CLONE_NEWNET",
    0x80000000: "CLONE_IO",
}
"""``linux/sched.h``; the low byte is the signal that tells the parent of the end."""
OPEN = {bits: word for bits, word in _words(fcntl, "O_").items() if bits > fcntl.O_ACCMODE and word[-4:] != "_BIT"}
AT = {0x100: "AT_SYMLINK_NOFOLLOW", 0x200: "AT_REMOVEDIR", 0x400: "AT_SYMLINK_FOLLOW", 0x1000: "AT_EMPTY_PATH"}
SOCKET = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET"}
SOCKET_FLAGS = {0o4000: "SOCK_NONBLOCK", 0o2000000: "SOCK_CLOEXEC"}
FAMILY = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 40: "AF_VSOCK"}
PRCTL = {
    1: "PR_SET_PDEATHSIG",
    4: "PR_SET_DUMPABLE",
    8: "PR_SET_KEEPCAPS",
    15: "PR_SET_NAME",
    22: "PR_SET_SECCOMP",
    24: "PR_CAPBSET_DROP",
    26: "PR_SET_TSC",
    28: "PR_SET_SECUREBITS",
    29: "PR_SET_TIMERSLACK",
    35: "PR_SET_MM",
    36: "PR_SET_CHILD_SUBREAPER",
    37: "PR_GET_CHILD_SUBREAPER",
    38: "PR_SET_NO_NEW_PRIVS",
    40: "PR_GET_TID_ADDRESS",
    41: "PR_SET_THP_DISABLE",
    47: "PR_CAP_AMBIENT",
    57: "PR_SET_IO_FLUSHER",
    0x53564D41: "PR_SET_VMA",
}
ARCH_PRCTL = {0x1001: "ARCH_SET_GS", 0x1002: "ARCH_SET_FS", 0x1003: "ARCH_GET_FS", 0x1004: "ARCH_GET_GS"}
CLOCK = {0: "CLOCK_REALTIME", 1: "CLOCK_MONOTONIC", 2: "CLOCK_PROCESS_CPUTIME_ID", 3: "CLOCK_THREAD_CPUTIME_ID"} | {
    7: "CLOCK_BOOTTIME",
    8: "CLOCK_REALTIME_ALARM",
    9: "CLOCK_BOOTTIME_ALARM",
    11: "CLOCK_TAI",
}
_LIMITS = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
RLIMIT = {number: f"RLIMIT_{word}" for number, word in enumerate(_LIMITS.split())}

#: Kinds of arguments that are one word of a list.
_ONE: dict[str, Mapping[int, str]] = {
    "arch_prctl": ARCH_PRCTL,
    "clock": CLOCK,
    "epoll": {1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD"},
    "family": FAMILY,
    "fcntl": _words(fcntl, "F_") | {0: "F_DUPFD"},
    "itimer": {0: "ITIMER_REAL", 1: "ITIMER_VIRTUAL", 2: "ITIMER_PROF"},
    "madvise": _words(mman, "MADV_"),
    "prctl": PRCTL,
    "rlimit": RLIMIT,
    "sigmask": {0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK"},
    "whence": {0: "SEEK_SET", 1: "SEEK_CUR", 2: "SEEK_END", 3: "SEEK_DATA", 4: "SEEK_HOLE"},
}

#: Kinds of arguments that are a set of flags, and the word for none.
_FLAGS: dict[str, tuple[Mapping[int, str], str]] = {
    "at_flags": (AT, "0"),
    "close_range": ({2: "CLOSE_RANGE_UNSHARE", 4: "CLOSE_RANGE_CLOEXEC"}, "0"),
    "map": (_words(mman, "MAP_"), "0"),
    "memfd": ({1: "MFD_CLOEXEC", 2: "MFD_ALLOW_SEALING", 4: "MFD_HUGETLB", 8: "MFD_NOEXEC_SEAL", 16: "MFD_EXEC"}, "0"),
    "mremap": (_words(mman, "MREMAP_"), "0"),
    "prot": ({1: "PROT_READ", 2: "PROT_WRITE", 4: "PROT_EXEC"}, "PROT_NONE"),
}


def call_name(nr: int) -> str:
    """The name of a system call, or of what a batch does itself."""
    return call_table.SPECIAL.get(nr) or x86_64.name(nr)


def call_arguments(nr: int, args: Sequence[int], loaded: int = 0) -> list[str]:
    """The arguments of a call in words, as many as it has.

    :param loaded: a bit for each argument that is the address of its value, shown as ``*0x7f…``
    """
    kinds = _kinds().get(call_name(nr), ("hex",) * 6)
    shown = []
    for index, (kind, arg) in enumerate(zip(kinds, args, strict=False)):
        shown.append(f"*{arg:#x}" if loaded >> index & 1 else _shown(kind, arg))
    if kinds[-2:] == ("open", "mode") and not args[len(kinds) - 2] & (fcntl.O_CREAT | fcntl.O_TMPFILE_BIT):
        shown.pop()
    return shown


def call_result(nr: int, ret: int) -> str:
    """What a call that succeeded gave: an address or a number."""
    return f"{ret & (1 << 64) - 1:#x}" if call_name(nr) in _ADDRESSES else str(ret)


_kinds_of: dict[str, tuple[str, ...]] = {}


def _kinds() -> dict[str, tuple[str, ...]]:
    """Which kinds of arguments each call has; the table is read when it is first needed."""
    if not _kinds_of:
        _kinds_of.update(call_table.read())
    return _kinds_of


def _shown(kind: str, arg: int) -> str:
    if kind in _ONE:
        return _ONE[kind].get(arg & 0xFFFFFFFF, str(_signed(arg)))
    if kind in _FLAGS:
        return flags(arg, *_FLAGS[kind])
    return _SHOW.get(kind, _number)(arg)


def flags(value: int, words: Mapping[int, str], none: str = "0") -> str:
    """Names joined by ``|``; what has no name is a number at the end."""
    found = []
    rest = value
    for bits, word in sorted(words.items(), reverse=True):
        if bits and rest & bits == bits:
            found.append(word)
            rest &= ~bits
    found.reverse()
    return "|".join([*found, f"{rest:#x}"] if rest else found) or none


def _signed(arg: int) -> int:
    """Kernel ``int`` arguments: the low 32 bits count."""
    return ((arg & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def _number(arg: int) -> str:
    return str(_signed(arg))


def _address(arg: int) -> str:
    return f"{arg & (1 << 64) - 1:#x}" if arg else "NULL"


def _at(arg: int) -> str:
    return "AT_FDCWD" if _signed(arg) == fcntl.AT_FDCWD else str(_signed(arg))


def _open(arg: int) -> str:
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[arg & fcntl.O_ACCMODE]
    words = {
        bits: word for bits, word in _words(fcntl, "O_").items() if bits > fcntl.O_ACCMODE and word != "O_TMPFILE_BIT"
    }
    rest = flags(arg & ~fcntl.O_ACCMODE, words, "")
    return f"{access}|{rest}" if rest else access


def _clone(arg: int) -> str:
    ends = arg & 0xFF
    shown = flags(arg & ~0xFF, CLONE, "")
    return "|".join(filter(None, (shown, _signal(ends) if ends else ""))) or "0"


def _socket(arg: int) -> str:
    kind = SOCKET.get(arg & 0xF, str(arg & 0xF))
    rest = flags(arg & ~0xF, SOCKET_FLAGS, "")
    return f"{kind}|{rest}" if rest else kind


def _signal(arg: int) -> str:
    try:
        return signal.Signals(arg).name
    except ValueError:
        return f"SIGRT_{arg - 32}" if 32 <= arg <= 64 else str(_signed(arg))


_SHOW: dict[str, Callable[[int], str]] = {
    "address": _address,
    "at": _at,
    "clone": _clone,
    "count": str,
    "hex": hex,
    "mode": lambda arg: f"0{arg:o}" if arg else "0",
    "offset": lambda arg: str((arg ^ 1 << 63) - (1 << 63)),
    "open": _open,
    "path": _address,
    "signal": _signal,
    "size": str,
    "socket": _socket,
}
