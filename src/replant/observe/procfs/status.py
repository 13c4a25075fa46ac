"""/proc/PID/status: credentials, signals, capabilities and the numbers in every pid namespace."""

from __future__ import annotations

from ..record import Record
from .read import read, task_path, text


class Status(Record):
    """What dumping needs of proc_pid_status(5). Masks are integers; ids are (real, effective, saved, filesystem).

    ``ns_*`` are numbers from the reader's pid namespace inwards. Memory is in KiB and 0 where a task has none
    (kernel threads, zombies). ``None``: this kernel does not tell.
    """

    name: str
    umask: int | None
    state: str
    tgid: int
    pid: int
    ppid: int
    tracer_pid: int
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    ns_tgid: tuple[int, ...]
    ns_pid: tuple[int, ...]
    ns_pgid: tuple[int, ...]
    ns_sid: tuple[int, ...]
    vm_size: int
    vm_locked: int
    vm_rss: int
    vm_swap: int
    core_dumping: bool
    thp_enabled: bool
    threads: int
    sigq: tuple[int, int]
    sig_pending: int
    shared_pending: int
    sig_blocked: int
    sig_ignored: int
    sig_caught: int
    cap_inheritable: int
    cap_permitted: int
    cap_effective: int
    cap_bounding: int
    cap_ambient: int
    no_new_privs: bool
    seccomp: int
    seccomp_filters: int | None
    cpus_allowed: int
    mems_allowed: int


def status(pid: int, tid: int | None = None) -> Status:
    """The status of a process (its leader), or of one thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    lines = read(pid, f"{task_path(pid, tid)}/status").split(b"\n")
    words = dict([line.split(b":\t", 1) for line in lines if b":\t" in line])
    return _status(words)


def _status(words: dict[bytes, bytes]) -> Status:
    queued, _, limit = words.get(b"SigQ", b"0/0").partition(b"/")
    return Status(
        _unescape(words[b"Name"]),
        int(words[b"Umask"], 8) if b"Umask" in words else None,
        words[b"State"][:1].decode(),
        int(words[b"Tgid"]),
        int(words[b"Pid"]),
        int(words[b"PPid"]),
        int(words[b"TracerPid"]),
        _numbers(words, b"Uid"),
        _numbers(words, b"Gid"),
        _numbers(words, b"Groups"),
        _numbers(words, b"NStgid"),
        _numbers(words, b"NSpid"),
        _numbers(words, b"NSpgid"),
        _numbers(words, b"NSsid"),
        _kib(words, b"VmSize"),
        _kib(words, b"VmLck"),
        _kib(words, b"VmRSS"),
        _kib(words, b"VmSwap"),
        words.get(b"CoreDumping") == b"1",
        words.get(b"THP_enabled") != b"0",
        int(words.get(b"Threads", b"0")),
        (int(queued), int(limit)),
        _mask(words, b"SigPnd"),
        _mask(words, b"ShdPnd"),
        _mask(words, b"SigBlk"),
        _mask(words, b"SigIgn"),
        _mask(words, b"SigCgt"),
        _mask(words, b"CapInh"),
        _mask(words, b"CapPrm"),
        _mask(words, b"CapEff"),
        _mask(words, b"CapBnd"),
        _mask(words, b"CapAmb"),
        words.get(b"NoNewPrivs") == b"1",
        int(words.get(b"Seccomp", b"0")),
        int(words[b"Seccomp_filters"]) if b"Seccomp_filters" in words else None,
        _mask(words, b"Cpus_allowed"),
        _mask(words, b"Mems_allowed"),
    )


def _mask(words: dict[bytes, bytes], name: bytes) -> int:
    return int(words.get(name, b"0").replace(b",", b""), 16)


def _numbers(words: dict[bytes, bytes], name: bytes) -> tuple[int, ...]:
    return tuple(map(int, words.get(name, b"").split()))


def _kib(words: dict[bytes, bytes], name: bytes) -> int:
    return int(words.get(name, b"0 kB")[:-3])


def _unescape(name: bytes) -> str:
    # proc_task_name escapes only newline and backslash here
    return text(name.replace(b"\\n", b"\n").replace(b"\\\\", b"\\") if b"\\" in name else name)
