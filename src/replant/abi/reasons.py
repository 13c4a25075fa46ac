"""What the error numbers of storage mean to a user: a stable word, and what can be done (errno(3))."""

from __future__ import annotations

from errno import EACCES, EDQUOT, EEXIST, EFBIG, EIO, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS

_ROOM = ("no-space", "free some space there, or choose another place with -o")
_RIGHTS = ("no-permission", "choose a directory that you may write to, or run as a user who may")
_PLACE = ("no-directory", "make the parent directory first")

#: error number -> (code of the error, hint)
STORAGE: dict[int, tuple[str, str]] = {
    ENOSPC: _ROOM,
    EDQUOT: _ROOM,
    EFBIG: ("no-space", "raise the file size limit (ulimit -f), or choose another file system with -o"),
    EACCES: _RIGHTS,
    EPERM: _RIGHTS,
    EROFS: ("no-permission", "the file system is mounted read-only: choose another place with -o"),
    EEXIST: ("image-busy", "another dump writes to that name: wait for it, or choose another with -o"),
    ENOENT: _PLACE,
    ENOTDIR: _PLACE,
    EIO: ("storage-broken", "the device reports an error: see dmesg"),
}
