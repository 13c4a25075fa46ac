"""/proc/PID/mountinfo: the mounts of a task's mount namespace, as far as its root can see them."""

from __future__ import annotations

import errno

from ..record import Record
from .read import read_long, task_path, text


class Mount(Record):
    """A line of mountinfo, proc_pid_mountinfo(5). ``optional`` holds ``shared:N``, ``master:N`` and the like."""

    mount_id: int
    parent_id: int
    dev: tuple[int, int]
    root: str
    mountpoint: str
    options: str
    optional: tuple[str, ...]
    fstype: str
    source: str
    super_options: str


def mountinfo(pid: int) -> list[Mount]:
    """All mounts in the kernel's order; none for a zombie.

    :raises TaskGone: the task has ended and been reaped.
    """
    path = task_path(pid) + "/mountinfo"
    try:
        return [_mount(line.split(b" ")) for line in read_long(pid, path).splitlines()]
    except OSError as error:
        # mounts_open_common: a task without nsproxy (a zombie) is EINVAL
        if error.errno == errno.EINVAL:
            return []
        raise


def _mount(words: list[bytes]) -> Mount:
    dash = words.index(b"-", 6)
    major, minor = words[2].split(b":")
    return Mount(
        int(words[0]),
        int(words[1]),
        (int(major), int(minor)),
        _unescape(words[3]),
        _unescape(words[4]),
        words[5].decode(),
        tuple([word.decode() for word in words[6:dash]]),
        text(words[dash + 1]),
        _unescape(words[dash + 2]),
        _unescape(words[dash + 3]),
    )


_ESCAPES = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\043", b"#"), (b"\\134", b"\\"))


def _unescape(word: bytes) -> str:
    if b"\\" in word:
        for escape, plain in _ESCAPES:
            word = word.replace(escape, plain)
    return text(word)
