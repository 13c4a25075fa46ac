"""Reading one file of /proc/PID with few system calls; a task that has gone is told from a file that is not there."""

from __future__ import annotations

import errno
import os

from replant.errors import TaskGone

_CHUNK = 1 << 16
_RDONLY = os.O_RDONLY | os.O_CLOEXEC


def text(raw: bytes) -> str:
    """Bytes of the kernel as ``str``; what is not UTF-8 survives as surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def task_path(pid: int, tid: int | None = None) -> str:
    """``/proc/PID``, or ``/proc/PID/task/TID`` where a thread is meant."""
    return f"/proc/{pid}" if tid is None else f"/proc/{pid}/task/{tid}"


def read(pid: int, path: str, size: int = 1 << 13) -> bytes:
    """A file that the kernel formats in one go (``single_open``): one read, more only where ``size`` was filled."""
    try:
        fd = os.open(path, _RDONLY)
        try:
            data = chunk = os.read(fd, size)
            while len(chunk) == size:
                chunk = os.read(fd, size)
                data += chunk
            return data
        finally:
            os.close(fd)
    except OSError as error:
        raise gone(pid, path, error) from None


def read_long(pid: int, path: str) -> bytes:
    """A file of many records (maps, mountinfo): a read returns a page or so of them, an empty one is the end."""
    try:
        fd = os.open(path, _RDONLY)
        try:
            chunks = []
            while chunk := os.read(fd, _CHUNK):
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            os.close(fd)
    except OSError as error:
        raise gone(pid, path, error) from None


def gone(pid: int, path: str, error: OSError) -> Exception:
    """What an error of a file of ``pid`` means: the task has ended, or the kernel's own error."""
    if error.errno in (errno.ESRCH, errno.ENOENT) and not os.path.lexists(f"/proc/{pid}"):
        return TaskGone(pid, f"{path} was read")
    return error


def read_memory(pid: int, path: str) -> bytes:
    """A file about the address space: empty for those who have none (zombies; ESRCH since Linux 6.17)."""
    try:
        return read_long(pid, path)
    except ProcessLookupError:
        return b""
