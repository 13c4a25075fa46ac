"""What a kind of files is told of a file description (`replant.resources.protocol`)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol
else:
    Protocol = object


class FileFacts(Protocol):
    """A file description as the dump sees it, through one of its holders (``fd`` of ``pid``)."""

    number: int
    pid: int
    fd: int  # -1: held by a mapping, or as cwd, root or exe
    where: str  # for messages: "fd 7", "mapping 7f00…", "cwd"
    link: str  # target of the /proc link, " (deleted)" included
    mode: int  # st_mode, st_dev, st_ino, st_rdev, st_nlink, st_size of stat(2)
    dev: int
    ino: int
    rdev: int
    nlink: int
    size: int
    flags: int  # F_GETFL
    pos: int
    info: dict[str, str]  # the further single lines of /proc/PID/fdinfo/FD, by key
    lines: list[str]  # all lines of fdinfo, for kinds whose keys repeat
    holders: Sequence[tuple[int, int, Sequence[str]]]  # every (pid, fd) of it, with the lines as shown to that holder

    def grab(self) -> int:
        """A descriptor in our own process of the very same description; closed by the dump.

        For a mapping, cwd or exe it is another description of the same inode, opened through the /proc link.
        """
        ...

    def close(self) -> None:
        """Give back what `grab` took, for kinds that look at many at once; the next `grab` takes it anew."""
        ...

    def number_of(self, pid: int, fd: int) -> int | None:
        """The number of the description behind another descriptor of the tree, None if there is none."""
        ...
