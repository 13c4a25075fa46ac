"""Files that the user has chosen to travel in the image, and are put back from there (``--files embed``).

At restore a file that is still as it was is left alone. One that is gone is made again, directories on the way too. One
that has changed is set aside under another name beside it, and never lost.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import contents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Track
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

_ASIDE = ".before-restore"


class Content(Frozen):
    """All of a file that its name and stat do not tell."""

    uid: int
    gid: int
    atime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]
    extents: tuple[Extent, ...]


def chosen(f: FileFacts, path: str, dump: DumpSide) -> bool:
    """Whether it is to travel: without patterns all that a descriptor holds, or what a mapping may write to."""
    choices = dump.policy("files").split("\n")
    if "embed" in choices and (dump.inode_in_tree(f.ino) or (f.fd < 0 and f.flags & fcntl.O_ACCMODE)):
        return True
    return any(_matches(path, each.removeprefix("embed:")) for each in choices if each.startswith("embed:"))


def _matches(path: str, pattern: str) -> bool:
    """A path means itself and all below it; ``*`` stands for anything, ``/`` too."""
    from fnmatch import fnmatchcase

    return path == pattern or path.startswith(pattern.rstrip("/") + "/") or fnmatchcase(path, pattern)


def content(f: FileFacts, path: str, dump: DumpSide) -> Content | None:
    """What is to be kept; None where another description of the same inode keeps it."""
    if dump.file_of(f.dev, f.ino) != f.number:
        return None
    fd = contents.reader(f.grab())
    try:
        st = os.fstat(fd)
        xattrs = tuple([(name, os.getxattr(fd, name)) for name in sorted(os.listxattr(fd))])
        return Content(st.st_uid, st.st_gid, st.st_atime_ns, xattrs, tuple(dump.keep_file(fd, st.st_size)))
    finally:
        os.close(fd)


def fate(path: str, size: int, mtime_ns: int) -> str:
    """What a restore has to do for a file: ``""``, ``"missing"`` or ``"changed"``."""
    try:
        found = os.stat(path)
    except OSError:
        return "missing"
    same = S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (size, mtime_ns)
    return "" if same else "changed"


def aside(path: str) -> str:
    """The name under which a changed file is kept: the first that is free."""
    name, number = path + _ASIDE, 1
    while os.path.lexists(name):
        number += 1
        name = f"{path}{_ASIDE}.{number}"
    return name


def put_back(path: str, mode: int, size: int, mtime_ns: int, kept: Content, on: Track, restore: RestoreSide) -> None:
    """Calls that make the file as it was, unless it is."""
    what = fate(path, size, mtime_ns)
    if not what:
        return
    at, name = fcntl.AT_FDCWD, fcntl.cstring(path)
    if what == "changed":
        other = fcntl.cstring(aside(path))
        moved = on.call(x86_64.renameat2, at, name, at, other, fcntl.RENAME_NOREPLACE, why="changed since: set aside")
        on.undo(moved, x86_64.renameat2, at, other, at, name, 0)
    for folder in _missing(os.path.dirname(path)):
        slot = on.call(x86_64.mkdirat, at, fcntl.cstring(folder), 0o755, why="on the way to a file of the image")
        on.undo(slot, x86_64.unlinkat, at, fcntl.cstring(folder), fcntl.AT_REMOVEDIR)
    flags = fcntl.O_RDWR | fcntl.O_CREAT | fcntl.O_EXCL
    made = on.call(x86_64.openat, at, name, flags, 0o600, why="file of the image")
    on.undo(made, x86_64.unlinkat, at, name, 0)
    contents.fill(on, made, size, kept.extents, restore)
    times = (kept.atime_ns, mtime_ns)
    contents.dress(on, made, mode, (kept.uid, kept.gid), times, kept.xattrs)
    on.call(x86_64.close, made)


def _missing(folder: str) -> Sequence[str]:
    found = []
    while not os.path.isdir(folder):
        found.append(folder)
        folder = os.path.dirname(folder)
    return found[::-1]
