"""Hierarchies of control groups as this host has them mounted, and where a task is in each: cgroups(7)."""

from __future__ import annotations

import os

from replant.abi import x86_64
from replant.abi.fcntl import AT_FDCWD, O_CLOEXEC, O_WRONLY
from replant.errors import Blocker, ImageError, ReplantError
from replant.model.frozen import Frozen
from replant.observe import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from replant.abi.call import Track

IGNORE = "ignore"
UNIFIED = ""  # the name of the hierarchy of version 2


class Place(Frozen):
    """A group by its ``hierarchy``, which is named by its controllers (``cpu,cpuacct``, ``name=systemd``), and path."""

    hierarchy: str
    path: str


def of_task(pid: int, tid: int) -> str:
    """The groups of a thread: a line ``HIERARCHY:PATH`` for each, sorted. :raises OSError: it is gone."""
    fd = os.open(f"/proc/{pid}/task/{tid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.fsdecode(os.read(fd, 1 << 16))
    finally:
        os.close(fd)
    lines = _lines.get(text)
    if lines is None:  # most tasks of a tree have the same; numbers of hierarchies are those of this boot
        lines = _lines[text] = "\n".join(sorted(line.partition(":")[2] for line in text.splitlines()))
    return lines


_lines: dict[str, str] = {}


def places(lines: str) -> list[Place]:
    """The groups that such lines tell."""
    return [Place(*line.split(":", 1)) for line in lines.splitlines() if ":" in line]


_mounted: dict[str, tuple[str, str]] = {}


def _mounts() -> Mapping[str, tuple[str, str]]:
    """By hierarchy: where it is mounted, and which of its groups that is."""
    if not _mounted:
        for m in procfs.mountinfo(os.getpid()):
            if m.fstype == "cgroup2":
                _mounted.setdefault(UNIFIED, (m.mountpoint, m.root))
            elif m.fstype == "cgroup":
                _mounted.setdefault(_controllers(m.super_options), (m.mountpoint, m.root))
    return _mounted


_MOUNT_OPTIONS = frozenset({"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"})


def _controllers(options: str) -> str:
    words = [w for w in options.split(",") if w not in _MOUNT_OPTIONS and not w.startswith("release_agent=")]
    return ",".join(words)


def folder(place: Place) -> str:
    """The directory of a group.

    :raises Blocker: its hierarchy is not mounted here, or not that part.
    :raises ImageError: there can be no such group.
    """
    parts = place.path.split("/")
    if not place.path.startswith("/") or ".." in parts or "\0" in place.path:
        raise ImageError(f"there is no control group {place.path!r}", code="image-corrupt", resource=place.path)
    mountpoint, root = _mounts().get(place.hierarchy, ("", ""))
    below = place.path if root == "/" else place.path.removeprefix(root)
    if not mountpoint or (root != "/" and below and not place.path.startswith(f"{root}/")):
        raise Blocker(
            f"the control group {place.path} of {place.hierarchy or 'version 2'} is not mounted here",
            code="cgroup",
            resource=f"{place.hierarchy}:{place.path}",
            hint=f"mount that hierarchy, or restore with --cgroups {IGNORE}",
        )
    return f"{mountpoint}{below}".rstrip("/")


def is_seen(place: Place) -> bool:
    """Whether it is a group below the root, and its directory can be looked at here."""
    try:
        return place.path != "/" and os.path.isdir(folder(place))
    except ReplantError:
        return False


def write(on: Track, path: str, value: str, why: str) -> None:
    """Calls that write a value into a file of a group."""
    data = value.encode("utf-8", "surrogateescape")
    fd = on.call(x86_64.openat, AT_FDCWD, os.fsencode(path) + b"\0", O_WRONLY | O_CLOEXEC, 0, why=why)
    on.call(x86_64.write, fd, data, len(data), why=why)
    on.call(x86_64.close, fd, why=why)


def chosen(place: Place, choice: Callable[[str], str]) -> Place | None:
    """Where a group is at restore: the user may want it below another one, or (None) not at all."""
    top = choice("cgroups")
    if top == IGNORE:
        return None
    return Place(place.hierarchy, f"{top.rstrip('/')}{place.path}" if top else place.path)
