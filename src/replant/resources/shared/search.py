"""Another name of a file that has lost the one it was opened by, while further links keep it on the disk.

The kernel knows no way from an inode to its names. So its last directory is looked through, and then whatever lies
around it on the same filesystem, as far as can be done while a tree stands still.
"""

from __future__ import annotations

import os
from stat import S_ISDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.resources.protocol import FileFacts

_ENTRIES = 100_000  # a tenth of a second
_DELETED = " (deleted)"


def another_name(f: FileFacts) -> str:
    """A path of the inode of ``f``, nearest to its last name; "": none was found."""
    if S_ISDIR(f.mode) or not f.nlink or not f.link.startswith("/"):
        return ""
    left = _ENTRIES
    for folder in _around(os.path.dirname(f.link), f.dev):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    left -= 1
                    if entry.inode() == f.ino and entry.stat(follow_symlinks=False).st_dev == f.dev:
                        return entry.path
        except OSError:  # it may not be read, or has gone meanwhile
            continue
        if left < 0:
            break
    return ""


def _around(folder: str, dev: int) -> Iterator[str]:
    """A directory, those below it, then the one above it and those below that, …: all on one filesystem."""
    below = ""
    while True:
        if _device(folder) == dev:
            yield from _below(folder, dev, without=below)
        elif os.path.isdir(folder):
            return
        below, folder = folder, os.path.dirname(folder)
        if below == folder:
            return


def _below(folder: str, dev: int, without: str) -> Iterator[str]:
    waiting = [folder]
    for each in waiting:
        yield each
        try:
            with os.scandir(each) as entries:
                found = [e.path for e in entries if e.is_dir(follow_symlinks=False) and e.path != without]
        except OSError:
            continue
        waiting += [path for path in found if _device(path) == dev]


def _device(folder: str) -> int:
    try:
        return os.lstat(folder).st_dev
    except OSError:
        return -1


def last_name(f: FileFacts) -> str:
    """What the kernel shows as its name, without the remark that it is gone."""
    return f.link.removesuffix(_DELETED)
