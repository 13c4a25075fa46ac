"""Landlock, landlock(7): a thread that has restricted its own access to files is refused by name.

No interface tells of a domain, so its effect is looked for. Linking from one directory into another is denied with
EXDEV in every domain that knows of files, unless both are excepted (LANDLOCK_ACCESS_FS_REFER). What is "linked" here is
a directory, which is denied to everybody, with EPERM or EACCES, but later: nothing is ever made.
"""

from __future__ import annotations

from errno import EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS, EXDEV

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.fcntl import AT_FDCWD
from replant.abi.libc import syscall_raw
from replant.errors import Blocker, Bug
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
LIKE = ("cred_key",)

_PAIRS = ((b"/var/lib\0", b"/var/log/.no-such-name\0"), (b"/usr/bin\0", b"/usr/lib/.no-such-name\0"))
_DENIED = (EPERM, EACCES)
_OTHERS = (ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EROFS)  # other directories, behind a root of its own


def _asks() -> Iterator[Call]:
    """The links that are denied to us too, and for the common reason: both on one mount that can be written to."""
    for old, new in _PAIRS:
        if -syscall_raw(nr.linkat, AT_FDCWD, old, AT_FDCWD, new, 0) in _DENIED:
            yield Call(nr.linkat, AT_FDCWD, old, AT_FDCWD, new, 0, why="landlock", ok=(*_DENIED, *_OTHERS, EXDEV))


ASKS = tuple(_asks())


class State(Frozen):
    """There is none: what would be kept is refused."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> None:
    """None: no domain shows.

    :raises Blocker: one does.
    """
    if any(answer.ret == -EXDEV for answer in answers):
        raise Blocker(
            f"task {t.tid} has restricted itself by landlock, which would be lost",
            code="landlock",
            pid=t.tid,
            resource=f"task {t.tid}",
            hint="run the program without it, where it has an option for that",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Never called: no State is ever kept."""
    raise Bug("a landlock state in an image", pid=tid)
