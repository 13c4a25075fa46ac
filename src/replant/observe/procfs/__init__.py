"""/proc, read with as little as Python allows: the source that every caller has, and the oracle of the others.

One function a file of proc_pid(5); each takes a pid (and where it makes sense a tid), returns small typed tuples
and raises :class:`replant.errors.TaskGone` when the task has ended meanwhile. ``PermissionError`` is the kernel's.
Text that is not UTF-8 (names, paths) is decoded with ``surrogateescape``, so ``os.fsencode`` gives the bytes back.

Paths are opened whole: one open is 2 us of walking ``/proc/PID``, a directory descriptor costs as much, and a
task has few files. Descriptors are many, so only :mod:`.files` works relative to a directory.
"""

from __future__ import annotations

from .files import Fd, FdInfo, fdinfo, fdinfos, fds
from .links import cwd, exe, namespaces, root
from .maps import Mapping, maps
from .mounts import Mount, mountinfo
from .stat import Stat, stat
from .status import Status, status, status_text
from .task import Limit, Timer, auxv, cmdline, environ, limits, oom_score_adj, personality, resident_kib, timers
from .tree import Node, children, pids, threads, tree

__all__ = [
    "Fd",
    "FdInfo",
    "Limit",
    "Mapping",
    "Mount",
    "Node",
    "Stat",
    "Status",
    "Timer",
    "auxv",
    "children",
    "cmdline",
    "cwd",
    "environ",
    "exe",
    "fdinfo",
    "fdinfos",
    "fds",
    "limits",
    "maps",
    "mountinfo",
    "namespaces",
    "oom_score_adj",
    "personality",
    "pids",
    "resident_kib",
    "root",
    "stat",
    "status",
    "status_text",
    "threads",
    "timers",
    "tree",
]
