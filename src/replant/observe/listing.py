"""Processes as a person reads them: a line each, as a tree where asked for, with what is in the way of a dump."""

from __future__ import annotations

from ..errors import TaskGone
from . import procfs
from .facts import File, Task, Vma
from .field import MISSING, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .observer import Observer

_NAMESPACES = ("uts", "ipc", "mnt", "net", "cgroup", "time", "user")
_NEEDED = (
    *("pid", "ppid", "state", "threads", "uids", "comm", "tracer_pid", "io_uring", "start_ticks"),
    *(f"ns_{name}" for name in _NAMESPACES),
    "ns_pid_own",
)
HEAD = ("PID", "PPID", "S", "UID", "THR", "RSS", "FDS", "SOCK", "NAMESPACES", "COMMAND", "IN THE WAY")
# kinds of files whose state the kernel tells nobody, by the text of their link
_OPAQUE = ("[io_uring]", "[userfaultfd]", "[perf_event]", "bpf-map", "bpf-prog", "bpf_link", "kvm-vm", "kvm-vcpu")
_S_IFSOCK = 0o140000


class Listing:
    """One look at some processes; ``rows`` are texts in the columns of :data:`HEAD`."""

    def __init__(self, observer: Observer, tree: int | None, pids: Sequence[int] | None) -> None:
        self.observer = observer
        names = list(_NEEDED)
        seen = observer.look(Task, names, tree=tree, pids=pids)
        self.vanished, self.hidden = seen.vanished, seen.hidden
        self.tasks: dict[int, dict[str, object]] = {}
        for row in seen.records:
            self.tasks[_number(row[0])] = dict(zip(names, row, strict=True))
        self._files = _grouped(observer.look(File, ["pid", "mode", "target"], tree=tree, pids=pids).records)
        self._common = _most_common(self.tasks.values())

    def rows(self, *, indent: bool) -> list[tuple[str, ...]]:
        """The lines, by pid, or below their parents."""
        order = self._below() if indent else [(0, pid) for pid in sorted(self.tasks)]
        return [self._row(self.tasks[pid], depth) for depth, pid in order]

    def _row(self, task: Mapping[str, object], depth: int) -> tuple[str, ...]:
        files = self._files.get(task["pid"], ())
        sockets = sum(1 for _, mode, _ in files if isinstance(mode, int) and mode & 0o170000 == _S_IFSOCK)
        uids = task["uids"]
        return (
            *(str(task[name]) for name in ("pid", "ppid", "state")),
            str(uids[0]) if isinstance(uids, tuple) else "?",
            *(str(task["threads"]), _resident(task["pid"]), str(len(files)), str(sockets)),
            ",".join(self._namespaces(task)) or "-",
            "  " * depth + printable(str(task["comm"])),
            "; ".join(self._in_the_way(task, files)),
        )

    def _namespaces(self, task: Mapping[str, object]) -> Iterable[str]:
        """Those that are not the ones most processes here live in."""
        for name in (*_NAMESPACES, "pid_own"):
            inode = task[f"ns_{name}"]
            if inode and inode != self._common[name]:
                yield name.removesuffix("_own")

    def _in_the_way(self, task: Mapping[str, object], files: Sequence[tuple[object, ...]]) -> Iterable[str]:
        if task["tracer_pid"]:
            yield f"traced by {task['tracer_pid']}"
        if task["io_uring"]:
            yield "has used io_uring"
        for word in sorted({word for _, _, target in files for word in _OPAQUE if word in str(target)}):
            yield word.strip("[]")

    def _below(self) -> list[tuple[int, int]]:
        children: dict[object, list[int]] = {}
        for pid, task in self.tasks.items():
            parent = task["ppid"] if task["ppid"] in self.tasks else None
            children.setdefault(parent, []).append(pid)
        found: list[tuple[int, int]] = []
        waiting = [(0, pid) for pid in reversed(children.get(None, []))]
        while waiting:
            depth, pid = waiting.pop()
            found.append((depth, pid))
            waiting += [(depth + 1, child) for child in reversed(children.get(pid, []))]
        return found


def descriptors(observer: Observer, tree: int | None, pids: Sequence[int] | None) -> list[tuple[str, ...]]:
    """A line for each descriptor: pid, number, position, flags, target."""
    names = ["pid", "fd", "pos", "flags", "target"]
    rows = observer.look(File, names, tree=tree, pids=pids).records
    return [(str(p), str(n), str(pos), f"{_octal(flags)}", printable(str(target))) for p, n, pos, flags, target in rows]


def mappings(observer: Observer, tree: int | None, pids: Sequence[int] | None) -> list[tuple[str, ...]]:
    """A line for each mapping, like those of /proc/PID/maps with the flags of smaps."""
    rows = observer.look(Vma, list(fields_of(Vma)), tree=tree, pids=pids).records
    return [_mapping(Vma._make(row)) for row in rows]


def _mapping(vma: Vma) -> tuple[str, ...]:
    prot = "".join(letter if vma.prot >> bit & 1 else "-" for bit, letter in enumerate("rwx"))
    where = f"{vma.start:x}-{vma.end:x}"
    return str(vma.pid), where, prot + "ps"[vma.shared], f"{vma.offset:x}", str(vma.vm_flags), printable(str(vma.path))


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def printable(text: str) -> str:
    """Text of a process: nothing in it may move the cursor of whoever reads."""
    return "".join(c if c.isprintable() else f"\\x{ord(c) & 0xFF:02x}" for c in text)


def _octal(flags: object) -> str:
    return f"{flags:o}" if isinstance(flags, int) else "?"


def _resident(pid: object) -> str:
    # the kernel's own sum over CPUs: what BPF reads without it is off by as much as a small process has
    try:
        kib = procfs.resident_kib(pid) if isinstance(pid, int) else 0
    except TaskGone:
        return "?"
    return f"{kib} K" if kib < 10240 else f"{kib // 1024} M"


def _grouped(rows: Iterable[tuple[object, ...]]) -> dict[object, list[tuple[object, ...]]]:
    found: dict[object, list[tuple[object, ...]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def _most_common(tasks: Iterable[Mapping[str, object]]) -> dict[str, object]:
    tasks = list(tasks)
    common = {}
    for name in (*_NAMESPACES, "pid_own"):
        inodes = [task[f"ns_{name}"] for task in tasks if task[f"ns_{name}"] not in (0, MISSING)]
        common[name] = max(set(inodes), key=inodes.count) if inodes else 0
    return common
