"""Opening what has a name, and opening once more what is open already."""

from __future__ import annotations

import os

from replant.abi import fcntl, x86_64
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track
    from replant.resources.protocol import FileFacts

#: Flags of F_GETFL that act when a file is created or found, or that F_SETFL puts on later.
_NOT_AGAIN = (
    fcntl.O_CREAT | fcntl.O_EXCL | fcntl.O_NOCTTY | fcntl.O_TRUNC | fcntl.O_ASYNC | fcntl.O_CLOEXEC
    | fcntl.O_TMPFILE_BIT
)  # fmt: skip


def again(flags: int) -> int:
    """The flags that open an existing thing once more: never create, never truncate, never take a terminal."""
    return flags & ~_NOT_AGAIN | fcntl.O_NOCTTY


def named(f: FileFacts) -> str:
    """The path under which ``f`` can be opened again.

    :raises Blocker: there is none, as the name now stands for another file: renamed, removed, or mounted over.
    """
    if f.link[:1] != "/":
        raise refuse(f, "its path is not reachable from here", "dump from the mount namespace and root of the program")
    try:
        found = os.stat(f.link, follow_symlinks=False)
    except OSError as error:
        raise refuse(f, f"it cannot be found by its name ({error.strerror})", "give it its name back", "name") from None
    if (found.st_dev, found.st_ino) != (f.dev, f.ino):
        raise refuse(
            f,
            "another file now has its name (renamed, or a mount covers it)",
            "give it its name back, or unmount what covers it",
            "name",
        )
    return f.link


def open_path(on: Track, path: str, flags: int, why: str) -> Slot:
    """Open a path with flags that need not be cleaned before."""
    return on.call(x86_64.openat, fcntl.AT_FDCWD, fcntl.cstring(path), again(flags), 0, why=why)


def reopen(on: Track, fd: Slot | int, flags: int, why: str) -> Slot:
    """Another description of the inode behind ``fd``, opened through its link of procfs.

    The number of ``fd`` is not known while the track is written, so it stands in for standard input for that moment.
    """
    kept = on.call(x86_64.fcntl, 0, fcntl.F_DUPFD_CLOEXEC, 3, why="put standard input aside")
    on.call(x86_64.dup3, fd, 0, fcntl.O_CLOEXEC, why="a number that is known")
    made = open_path(on, "/proc/self/fd/0", flags & ~fcntl.O_NOFOLLOW, why)
    on.call(x86_64.dup3, kept, 0, 0, why="standard input again")
    on.call(x86_64.close, kept)
    return made
