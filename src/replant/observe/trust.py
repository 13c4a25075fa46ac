"""Whether BPF tells the truth: what it says about this very process is compared with /proc/self before it is used."""

from __future__ import annotations

import os
from _thread import get_native_id

from replant.abi import x86_64 as nr
from replant.abi.libc import syscall_raw

from .crosscheck import IDENTITY, compared
from .facts import File, Task, Vma
from .field import MISSING
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bpf.source import BpfSource
    from .procfs_source import ProcfsSource

    Columns = list[Sequence[object]]

_CLOCK_MONOTONIC, _MFD_CLOEXEC, _AF_UNIX, _SOCK_STREAM = 1, 1, 1, 1


def contradiction(bpf: BpfSource, procfs: ProcfsSource, facts: type[Record], names: list[str], leaders: bool) -> str:
    """A fact that the sources disagree about, in words; empty if there is none."""
    if facts is Vma and not bpf.calibrate():
        return "bits of vm_flags do not mean what they should"
    specimens = _specimens() if facts is File else []
    try:
        return _compared(bpf, procfs, facts, names, leaders)
    finally:
        for fd in specimens:
            os.close(fd)


def _specimens() -> list[int]:
    """A descriptor of each kind that is known by a link without a path: they are compared with all others of ours."""
    calls = (
        (nr.eventfd2, 0, os.O_CLOEXEC),
        (nr.epoll_create1, os.O_CLOEXEC),
        (nr.timerfd_create, _CLOCK_MONOTONIC, os.O_CLOEXEC),
        (nr.signalfd4, -1, bytes(8), 8, os.O_CLOEXEC),
        (nr.inotify_init1, os.O_CLOEXEC),
        (nr.pidfd_open, os.getpid(), 0),
        (nr.memfd_create, b"specimen\0", _MFD_CLOEXEC),
        (nr.socket, _AF_UNIX, _SOCK_STREAM | os.O_CLOEXEC, 0),
    )
    return [*os.pipe(), *(fd for call in calls if (fd := syscall_raw(*call)) >= 0)]


def _compared(bpf: BpfSource, procfs: ProcfsSource, facts: type[Record], names: list[str], leaders: bool) -> str:
    pid, problem = os.getpid(), ""
    # a list that grows between the two readings may move the heap: what differs three times does not move
    for _ in range(3):
        table = bpf.table(facts, names, None, pid=pid, leaders=leaders)
        ours = [table.column(name) for name in names]
        theirs = procfs.columns(facts, names, [pid], leaders=leaders)
        problem = _disagreement(facts, names, ours, theirs)
        if not problem:
            break
    return problem


# what other threads of this process may change between two readings is their business
_OTHERS = ("state", "flags", "sig_pending", "shared_pending", "sig_blocked", "comm")


def _disagreement(facts: type[Record], names: list[str], ours: Columns, theirs: Columns) -> str:
    identity = [names.index(name) for name in IDENTITY[facts]]
    comparable = [i for i, name in enumerate(names) if name in compared(facts)]
    elsewhere = [i for i in comparable if names[i] not in _OTHERS]
    lasting = _lasting_descriptors() if facts is File else frozenset()
    told = {tuple([row[i] for i in identity]): row for row in zip(*theirs, strict=True)}
    for row in zip(*ours, strict=True):
        key = tuple([row[i] for i in identity])
        other = told.get(key)
        if other is None or (facts is File and key[1] not in lasting):
            continue
        for i in elsewhere if facts is Task and key[1] != get_native_id() else comparable:
            if row[i] != other[i] and MISSING not in (row[i], other[i]):
                return f"it says {names[i]} of this process is {row[i]!r}, procfs says {other[i]!r}"
    return ""


def _lasting_descriptors() -> frozenset[int]:
    """Descriptors of this process but for those that reading them opens, which reuse the same number."""
    before = {int(name) for name in os.listdir("/proc/self/fd")}
    extra = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        after = {int(name) for name in os.listdir("/proc/self/fd")}
    finally:
        os.close(extra)
    return frozenset(before & after - {extra})
