"""What a host or a user can have too little of, and what can be done about it (errno(3), getrlimit(2))."""

from __future__ import annotations

from errno import EAGAIN, EDQUOT, EFBIG, EMFILE, ENFILE, ENOMEM, ENOSPC

from replant.errors import ReplantError

_MEMORY = ("no-memory", "free some memory, or raise the limit (ulimit -v, memory.max of the cgroup)")
_ROOM = ("no-space", "free some space, in /tmp and /dev/shm too")

#: error number -> (code of the error, hint)
SHORTAGE: dict[int, tuple[str, str]] = {
    EMFILE: ("too-many-files", "raise the limit of open files (ulimit -n)"),
    ENFILE: ("too-many-files", "raise fs.file-max, or end what holds so many files"),
    ENOMEM: _MEMORY,
    EAGAIN: ("too-many-tasks", "raise the limit of processes (ulimit -u, pids.max of the cgroup)"),
    EFBIG: ("file-too-large", "raise the limit of file sizes (ulimit -f)"),
    ENOSPC: _ROOM,
    EDQUOT: _ROOM,
}


def shortage(error: BaseException) -> ReplantError | None:
    """The error to tell a user where a call failed for want of something; None: it failed for another reason."""
    if isinstance(error, MemoryError):
        code, hint = _MEMORY
        return ReplantError("there is not enough memory", code=code, hint=hint)
    if isinstance(error, OSError) and error.errno in SHORTAGE:
        code, hint = SHORTAGE[error.errno]
        where = None if error.filename is None else str(error.filename)
        return ReplantError(str(error.strerror), code=code, resource=where, hint=hint)
    return None
