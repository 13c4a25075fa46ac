"""Who else has a file: a look at every process, for kinds of which few are ever open."""

from __future__ import annotations

import os

from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from replant.resources.protocol import DumpSide, FileFacts

_DELETED = " (deleted)"


def outside(dev: int, ino: int, tree: Container[int] = ()) -> list[int]:
    """The processes that are not in ``tree``, nor ourselves, and have that inode open as a descriptor."""
    return [pid for pid in _others(tree) if (dev, ino) in _opened(pid, "")]


def nameless() -> dict[tuple[int, int], list[int]]:
    """All that has no name: device and inode, and the processes that have it open or mapped.

    That takes some 100 µs a process, so it is done while the tree still runs; `has` tells of a single one.
    """
    found: dict[tuple[int, int], list[int]] = {}
    for pid in _others(()):
        for key in _nameless_of(pid):
            found.setdefault(key, []).append(pid)
    return found


def has(pid: int, dev: int, ino: int) -> bool:
    """Whether a process has that nameless inode open or mapped."""
    return (dev, ino) in _nameless_of(pid)


def _nameless_of(pid: int) -> set[tuple[int, int]]:
    return {*_opened(pid, _DELETED), *_mapped(pid)}


def none(f: FileFacts, dump: DumpSide) -> None:
    """:raises Blocker: a process outside of the tree has this nameless file, too; unless the user wants a copy."""
    pid = dump.outsider(f.dev, f.ino)
    if pid and dump.policy("shared-memory") != "copy":
        raise refuse(
            f,
            f"process {pid}, which is not in the tree, shares it",
            "dump a tree with both, or let the tree have a copy of its own: --shared-memory copy",
            "outside",
        )


def _others(tree: Container[int]) -> list[int]:
    ours = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return [pid for pid in pids if pid not in tree and pid != ours]


def _opened(pid: int, ending: str) -> Iterator[tuple[int, int]]:
    """Device and inode of what a process has open, where the link ends so."""
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            try:
                if not ending or os.readlink(f"{folder}/{name}").endswith(ending):
                    st = os.stat(f"{folder}/{name}")
                    yield st.st_dev, st.st_ino
            except OSError:  # closed meanwhile, or a link that leads nowhere
                continue
    except OSError:  # it has ended
        return


def _mapped(pid: int) -> Iterator[tuple[int, int]]:
    """Device and inode of what a process has mapped that has no name any more."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            lines = [line for line in file.read().splitlines() if line.endswith(b"(deleted)")]
    except OSError:
        return
    for line in lines:
        device, inode = line.split(None, 5)[3:5]
        major, minor = device.split(b":")
        yield os.makedev(int(major, 16), int(minor, 16)), int(inode)
