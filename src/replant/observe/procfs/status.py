"""/proc/PID/status: credentials, signals, capabilities and the numbers in every pid namespace."""

from __future__ import annotations

from ..record import Record
from .read import read, task_path, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


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


class StatusText:
    """The file as read; a field is parsed when it is asked for, by the name it has in :class:`Status`."""

    def __init__(self, data: bytes) -> None:
        self._data = b"\n" + data

    def __getattr__(self, name: str) -> object:
        word, parse = _PARSERS[name]
        at = self._data.find(word)
        if at < 0:
            return parse(None)
        begin = at + len(word)
        return parse(self._data[begin : self._data.index(b"\n", begin)])


def status_text(pid: int, tid: int | None = None) -> StatusText:
    """The status of a process or thread, for those who want few fields of it.

    :raises TaskGone: the task has ended and been reaped.
    """
    return StatusText(read(pid, f"{task_path(pid, tid)}/status"))


def status(pid: int, tid: int | None = None) -> Status:
    """The status of a process (its leader), or of one thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    parsed = status_text(pid, tid)
    return Status._make([getattr(parsed, name) for name in Status._fields])


def _name(raw: bytes | None) -> str:
    # proc_task_name writes a newline as \\n and a backslash as two, and leaves everything else alone
    parts = (raw or b"").split(b"\\\\")
    return text(b"\\".join([part.replace(b"\\n", b"\n") for part in parts]))


def _number(raw: bytes | None) -> int:
    return int(raw or 0)


def _number_or_none(raw: bytes | None) -> int | None:
    return None if raw is None else int(raw)


def _numbers(raw: bytes | None) -> tuple[int, ...]:
    return tuple(map(int, (raw or b"").split()))


def _kib(raw: bytes | None) -> int:
    return int(raw[:-3]) if raw else 0


def _mask(raw: bytes | None) -> int:
    return int(raw.replace(b",", b""), 16) if raw else 0


def _queue(raw: bytes | None) -> tuple[int, int]:
    queued, _, limit = (raw or b"0/0").partition(b"/")
    return int(queued), int(limit)


_PARSERS: dict[str, tuple[bytes, Callable[[bytes | None], object]]] = {
    "name": (b"\nName:\t", _name),
    "umask": (b"\nUmask:\t", lambda raw: None if raw is None else int(raw, 8)),
    "state": (b"\nState:\t", lambda raw: (raw or b"?")[:1].decode()),
    **{f"ns_{name}": (b"\nNS%s:\t" % name.encode(), _numbers) for name in ("tgid", "pid", "pgid", "sid")},
    **{name: (b"\n%s:\t" % name.capitalize().encode(), _number) for name in ("tgid", "pid", "threads", "seccomp")},
    "ppid": (b"\nPPid:\t", _number),
    "tracer_pid": (b"\nTracerPid:\t", _number),
    "uids": (b"\nUid:\t", _numbers),
    "gids": (b"\nGid:\t", _numbers),
    "groups": (b"\nGroups:\t", _numbers),
    "vm_size": (b"\nVmSize:\t", _kib),
    "vm_locked": (b"\nVmLck:\t", _kib),
    "vm_rss": (b"\nVmRSS:\t", _kib),
    "vm_swap": (b"\nVmSwap:\t", _kib),
    "core_dumping": (b"\nCoreDumping:\t", lambda raw: raw == b"1"),
    "thp_enabled": (b"\nTHP_enabled:\t", lambda raw: raw != b"0"),
    "sigq": (b"\nSigQ:\t", _queue),
    "sig_pending": (b"\nSigPnd:\t", _mask),
    "shared_pending": (b"\nShdPnd:\t", _mask),
    "sig_blocked": (b"\nSigBlk:\t", _mask),
    "sig_ignored": (b"\nSigIgn:\t", _mask),
    "sig_caught": (b"\nSigCgt:\t", _mask),
    "cap_inheritable": (b"\nCapInh:\t", _mask),
    "cap_permitted": (b"\nCapPrm:\t", _mask),
    "cap_effective": (b"\nCapEff:\t", _mask),
    "cap_bounding": (b"\nCapBnd:\t", _mask),
    "cap_ambient": (b"\nCapAmb:\t", _mask),
    "no_new_privs": (b"\nNoNewPrivs:\t", lambda raw: raw == b"1"),
    "seccomp_filters": (b"\nSeccomp_filters:\t", _number_or_none),
    "cpus_allowed": (b"\nCpus_allowed:\t", _mask),
    "mems_allowed": (b"\nMems_allowed:\t", _mask),
}
