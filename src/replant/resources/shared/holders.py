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


def nameless(tree: Container[int]) -> dict[tuple[int, int], int]:
    """What has no name and a process outside of ``tree`` has open or mapped: device and inode, and one such process.

    ``/proc/PID/maps`` takes some 100 µs a process.
    """
    found: dict[tuple[int, int], int] = {}
    for pid in _others(tree):
        found.update(dict.fromkeys((*_opened(pid, _DELETED), *_mapped(pid)), pid))
    return found


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
