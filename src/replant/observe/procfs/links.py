"""The symbolic links of /proc/PID: executable, directories and namespaces; a zombie has few of them."""

from __future__ import annotations

import os

from .read import gone, task_path


def exe(pid: int, tid: int | None = None) -> str | None:
    """Path of the executable as the kernel prints it; ``None`` for a zombie or a kernel thread.

    :raises TaskGone: the task has ended and been reaped.
    """
    return _link(pid, f"{task_path(pid, tid)}/exe")


def cwd(pid: int, tid: int | None = None) -> str | None:
    """The current directory, seen from the caller's root; ``None`` for a zombie.

    :raises TaskGone: the task has ended and been reaped.
    """
    return _link(pid, f"{task_path(pid, tid)}/cwd")


def root(pid: int, tid: int | None = None) -> str | None:
    """The root directory, seen from the caller's root; ``None`` for a zombie.

    :raises TaskGone: the task has ended and been reaped.
    """
    return _link(pid, f"{task_path(pid, tid)}/root")


NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts")


def namespaces(pid: int, tid: int | None = None) -> dict[str, int]:
    """Inode numbers of the namespaces by name, see namespaces(7); those a zombie has no more are left out.

    ``pid_for_children`` is also left out while the namespace that unshare(2) made has no first process.

    :raises TaskGone: the task has ended and been reaped.
    """
    directory = task_path(pid, tid) + "/ns/"
    links = ((name, _link(pid, directory + name)) for name in NAMESPACES)
    return {name: int(link[link.index("[") + 1 : -1]) for name, link in links if link}


def _link(pid: int, path: str) -> str | None:
    try:
        return os.readlink(path)
    except FileNotFoundError as error:
        reason = gone(pid, path, error)
        if reason is error:
            return None
        raise reason from None
    except OSError as error:
        raise gone(pid, path, error) from None
