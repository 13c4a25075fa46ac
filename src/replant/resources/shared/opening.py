"""Opening what has a name, and opening once more what is open already."""

from __future__ import annotations

import os

from replant.abi import fcntl, x86_64
from replant.resources.shared.refusal import refuse
from replant.resources.shared.search import another_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts

    T = TypeVar("T")

_EBADF = 9
#: Flags of F_GETFL that act when a file is created or found, or that F_SETFL puts on later.
_NOT_AGAIN = (
    fcntl.O_CREAT | fcntl.O_EXCL | fcntl.O_NOCTTY | fcntl.O_TRUNC | fcntl.O_ASYNC | fcntl.O_CLOEXEC
)  # fmt: skip


def again(flags: int) -> int:
    """The flags that open an existing thing once more: never create, never truncate, never take a terminal."""
    if flags & fcntl.O_TMPFILE_BIT:
        flags &= ~fcntl.O_TMPFILE  # it was opened by its directory
    return flags & ~_NOT_AGAIN | fcntl.O_NOCTTY


_DELETED = " (deleted)"
#: Flags that F_SETFL puts on, and the one that every open of a 64-bit program has.
_ANY_TIME = fcntl.O_APPEND | fcntl.O_NONBLOCK | fcntl.O_DIRECT | fcntl.O_ASYNC | fcntl.O_NOATIME | fcntl.O_LARGEFILE


def named(f: FileFacts) -> str:
    """The path under which ``f`` can be opened again: its own, or that of another link.

    :raises Blocker: there is none that can be found: removed, or mounted over.
    """
    if f.link[:1] != "/":
        raise refuse(f, "its path is not reachable from here", "dump from the mount namespace and root of the program")
    if f.nlink and f.link.endswith(_DELETED) and (other := _other_name(f)):
        return other
    try:
        found = os.stat(f.link, follow_symlinks=False)
        if (found.st_dev, found.st_ino) == (f.dev, f.ino):
            return f.link
        why = "another file now has its name (a mount covers it)"
    except OSError as error:
        why = f"it cannot be found by its name ({error.strerror})"
    if path := another_name(f):
        return path
    raise refuse(f, why, "give it its name back, or unmount what covers it", "name")


def _other_name(f: FileFacts) -> str:
    """Another link of a file, in the directory in which the one that it was opened by was removed; "": there is none.

    sem_open(3) makes a semaphore under a name of its own, links it to the one that was asked for, removes the first.
    """
    folder = os.path.dirname(f.link)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.inode() == f.ino]
        same = [name for name in names if os.stat(f"{folder}/{name}", follow_symlinks=False).st_dev == f.dev]
    except OSError:  # the directory is gone, too
        return ""
    return f"{folder}/{min(same)}" if same else ""


def open_path(on: Track, path: str, flags: int, why: str) -> Slot:
    """Open a path with flags that need not be cleaned before."""
    return on.call(x86_64.openat, fcntl.AT_FDCWD, fcntl.cstring(path), again(flags), 0, why=why)


def path_of(fd: Slot | int) -> str:
    """The path under which a process can open once more what it has as ``fd``."""
    return f"/proc/self/fd/{fd}"


def is_free(path: str) -> bool:
    """Whether a file can be made at ``path`` for a moment."""
    return os.path.isdir(os.path.dirname(path)) and not os.path.lexists(path)


def by_last_name(on: Track, path: str, shown: str, flags: int, why: str) -> Slot:
    """Open ``path`` by the name that it had last, given back for a moment if it is free, so that links show that."""
    if not shown or not is_free(shown):
        return open_path(on, path, flags, why)
    at, old, new = fcntl.AT_FDCWD, fcntl.cstring(path), fcntl.cstring(shown)
    linked = on.call(x86_64.linkat, at, old, at, new, 0, why="the name it was opened by")
    on.undo(linked, x86_64.unlinkat, at, new, 0)
    made = open_path(on, shown, flags, why)
    on.call(x86_64.unlinkat, at, new, 0, why="gone as before")
    return made


def reopen(on: Track, fd: Slot | int, flags: int, why: str) -> Slot:
    """Another description of the inode behind ``fd``, opened through its link of procfs."""
    return through(on, fd, lambda path: open_path(on, path, flags & ~fcntl.O_NOFOLLOW, why))


def through(on: Track, fd: Slot | int, act: Callable[[str], T]) -> T:
    """``act`` with a path that leads to what is behind ``fd``: its link of procfs.

    The number of ``fd`` is not known while the track is written, so it stands in for standard input for that moment.
    """
    kept = as_zero(on, fd)
    made = act("/proc/self/fd/0")
    zero_again(on, kept)
    return made


def as_zero(on: Track, fd: Slot | int) -> Slot:
    """Give ``fd`` a number that is known while the track is written: 0. What `zero_again` needs is returned."""
    kept = on.call(x86_64.fcntl, 0, fcntl.F_DUPFD_CLOEXEC, 3, why="put standard input aside", ok=(_EBADF,))
    on.call(x86_64.dup3, fd, 0, fcntl.O_CLOEXEC, why="a number that is known")
    return kept


def zero_again(on: Track, kept: Slot) -> None:
    """Standard input is what it was, closed if it was."""
    on.call(x86_64.close, 0)
    on.call(x86_64.dup3, kept, 0, 0, why="standard input again", ok=(_EBADF,))
    on.call(x86_64.close, kept, ok=(_EBADF,))


def lasting(flags: int) -> int:
    """Those of F_GETFL that only open(2) can give a description."""
    return flags & ~_ANY_TIME


def spread(on: Track, made: Slot, flags: int, files: Sequence[File]) -> list[Slot]:
    """A description for each file of one inode: for the first that it fits ``made``, which was opened with ``flags``.

    All others get a new one; if ``made`` fits none it is closed.
    """
    opened: list[Slot] = []
    for file in files:
        fits = lasting(file.flags) == flags and made not in opened
        opened.append(made if fits else reopen(on, made, file.flags, "one more open of the file"))
    if made not in opened:
        on.call(x86_64.close, made, why="open only to be filled")
    return opened
