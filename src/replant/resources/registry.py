"""Finds the module of a kind by the kernel's own name for the thing; adding a kind edits no other file.

``anon_inode:[timerfd]`` is looked for in ``files/timerfd.py``, a socket in the module of its family, an attribute of
tasks is every module of ``task/``. A thing whose module does not exist is claimed by nobody, and refused by that name.
"""

from __future__ import annotations

import os
import sys
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK

from replant.errors import Blocker, ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from replant.model.frozen import Frozen
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts, FileKind, MapKind, TaskKind

_O_PATH = 0o10000000
_TTY_MAJORS = (4, 5, *range(136, 144))
_DEVICES = {os.makedev(10, 200): "tun"}
_BY_FORMAT = {S_IFDIR: "directory", S_IFBLK: "blockdev", S_IFLNK: "symlink"}
_FAMILIES = {
    1: "unix", 2: "inet", 10: "inet", 16: "netlink", 17: "packet", 38: "crypto", 40: "vsock", 44: "xdp",
    29: "can", 31: "bluetooth",
}  # fmt: skip
_INET = {
    (1, 6): "tcp", (2, 17): "udp", (2, 136): "udp", (2, 1): "ping", (2, 58): "ping", (1, 262): "mptcp",
    (1, 132): "sctp", (5, 132): "sctp", (2, 33): "dccp", (6, 33): "dccp",
}  # fmt: skip
_SOCK_RAW = 3
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_PROC = "/proc"
_MEMORY_DEVICES = 1
_EXTENSIONS = "replant_kinds"
_QUEUE_SIZE = 80  # of every file that is a message queue
#: Files of the kernel's own mounts, which have no name that could be opened, by the beginning of their link.
_NAMELESS = {
    "/memfd:": "memfd", "/SYSV": "sysv_shm", "/anon_hugepage": "hugetlb", "/secretmem": "secretmem", "/[aio]": "aio",
}  # fmt: skip

_files: dict[str, FileKind | None] = {}
_maps: dict[str, MapKind] = {}
_tasks: dict[str, TaskKind] = {}
_memory_device: list[int] = []


def file_name(f: FileFacts) -> str:
    """The kernel's name for what stands behind a descriptor: the name of the module that may keep it."""
    form = f.mode & 0o170000
    if form in (S_IFREG, S_IFDIR) and not os.major(f.dev) and f.dev == os.stat(_PROC).st_dev:
        return "procfs"
    if f.flags & _O_PATH and f.fd >= 0 and (f.nlink or form not in (S_IFREG, S_IFDIR) or _nameless(f.link)):
        return "path"  # a removed file or directory is made by its own kind, whatever descriptor it has
    link = f.link
    if form == S_IFREG:
        return _regular_name(f)
    if form == S_IFIFO:
        return "pipe" if link.startswith("pipe:[") else "fifo"
    if form == S_IFCHR:
        return "terminal" if os.major(f.rdev) in _TTY_MAJORS else _device_name(f.rdev)
    if form == S_IFSOCK:
        return _socket_name(f)
    if link.startswith("anon_inode:"):
        return link[11:].strip("[]").replace("-", "_")
    return _BY_FORMAT.get(form) or _nameless(link) or "unknown"


def _regular_name(f: FileFacts) -> str:
    link = f.link
    if link.startswith("anon_inode:"):
        return link[11:].strip("[]").replace("-", "_")
    if link == "/dev/zero (deleted)":
        return "shm"
    if link.endswith(" (deleted)") and (name := _nameless(link)) and (name != "memfd" or _is_memfd(f)):
        return name
    if ":[" in link and link.endswith("]") and not link.startswith("/"):
        return "nsfs" if link.partition(":")[0] in _NAMESPACES else link.partition(":")[0]
    if f.size == _QUEUE_SIZE and f.fd >= 0 and os.major(f.dev) == 0 and _is_queue(f):
        return "mqueue"
    if f.flags & os.O_ACCMODE and _is_pressure(link):
        return "pressure_trigger"  # what is written into it, to be told of pressure, cannot be read back
    return "regular" if f.nlink else "unlinked"


def _is_memfd(f: FileFacts) -> bool:
    """Whether it is on the kernel's own tmpfs or of huge pages: a file removed from a root directory is named alike."""
    from replant.resources.shared import huge  # only where the name has been seen

    if not _memory_device:
        fd = os.memfd_create("device", os.MFD_CLOEXEC)
        _memory_device.append(os.fstat(fd).st_dev)
        os.close(fd)
    return f.dev in _memory_device or huge.page_size(f.grab()) > 0


def _is_pressure(link: str) -> bool:
    """Whether it tells of the pressure in a control group."""
    return link.endswith(".pressure") and os.path.exists(f"{os.path.dirname(link)}/cgroup.procs")


def _is_queue(f: FileFacts) -> bool:
    """Whether it is a POSIX message queue, which no name tells: only the filesystem that it is on."""
    from replant.abi import libc, mqueue, x86_64

    answer = bytearray(120)  # struct statfs
    libc.syscall(x86_64.fstatfs, f.grab(), answer)
    return int.from_bytes(answer[:8], "little") == mqueue.MQUEUE_MAGIC


def _device_name(rdev: int) -> str:
    """A device that has state may have a kind of its own, in an extension."""
    if rdev in _DEVICES:
        return _DEVICES[rdev]
    name = f"chardev_{os.major(rdev)}_{os.minor(rdev)}"
    return name if os.major(rdev) != _MEMORY_DEVICES and file_kind(name) is not None else "chardev"


def _nameless(link: str) -> str:
    return next((name for beginning, name in _NAMELESS.items() if link.startswith(beginning)), "")


def _socket_name(f: FileFacts) -> str:
    from replant.abi import socket  # only where a socket has been seen
    from replant.resources.shared import labels

    if f.fd < 0:
        return "socket"  # its ring of buffers is mapped, and by a mapping a socket cannot be asked anything
    labels.check_socket(f)
    fd = f.grab()
    domain = socket.number(fd, socket.SOL_SOCKET, socket.SO_DOMAIN)
    name = _FAMILIES.get(domain, f"socket_{domain}")
    if name != "inet":
        return name
    kind, protocol = (socket.number(fd, socket.SOL_SOCKET, option) for option in (socket.SO_TYPE, socket.SO_PROTOCOL))
    return "raw" if kind == _SOCK_RAW else _INET.get((kind, protocol), f"inet_{protocol}")


def preload(links: Iterable[str]) -> None:
    """Load the modules that descriptors with these /proc links will need, before a tree is stopped."""
    names = {"regular", "directory", "chardev", "control_group"}
    names.update(name for name, _ in standing())
    for link in set(links):
        scheme, _, rest = link.partition(":")
        if scheme == "anon_inode":
            names.add(rest.strip("[]").replace("-", "_"))
        elif scheme == "pipe":
            names.add("pipe")
        elif scheme == "socket":
            names.update(("unix", "tcp"))
        elif link.startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
            names.add("terminal")
    for name in names:
        file_kind(name)


def map_name(link: str) -> str:
    """The name of the module that maps a file with that link: ``file``, unless the file's own kind has one."""
    name = _nameless(link) if link.endswith(" (deleted)") else ""
    if link.startswith("anon_inode:["):
        name = link[12:-1]
    if name and name not in _maps:
        module = _load(f"replant.resources.maps.{name}")
        if module is not None:
            _maps[name] = module
    return name if name in _maps else "file"


_SYSV = "/proc/sysvipc"


def with_hook(name: str) -> dict[str, FileKind]:
    """All kinds of files that have something of an optional name; loads every kind."""
    from replant.resources import files

    folder = os.path.dirname(files.__file__ or "")
    names = sorted(n[:-3] for n in os.listdir(folder) if n.endswith(".py") and not n.startswith("_"))
    kinds = {n: kind for n in names if (kind := file_kind(n)) is not None}
    return {n: kind for n, kind in kinds.items() if hook(kind, name) is not None}


def standing() -> Iterable[tuple[str, FileKind]]:
    """The kinds of objects that stand by themselves, of which there may be any here."""
    for name in ("control_group", "vdso"):
        kind = file_kind(name)
        if kind is not None:
            yield name, kind
    for sort in ("shm", "sem", "msg"):
        try:
            with open(f"{_SYSV}/{sort}", "rb") as file:
                lines = file.read(1024).count(b"\n")
        except FileNotFoundError:  # a kernel without
            continue
        kind = file_kind(f"sysv_{sort}") if lines > 1 else None
        if kind is not None:
            yield f"sysv_{sort}", kind


def file_kind(name: str) -> FileKind | None:
    """The module of `replant.resources.files` of that name, or of an extension, None if there is none.

    An extension is a distribution with modules in the namespace package ``replant_kinds``: one for a device is named
    ``chardev_MAJOR_MINOR``, one for what has no kind yet as the refusal names it.
    """
    if name not in _files:
        found = _load(f"replant.resources.files.{name}") if name.isidentifier() else None
        _files[name] = found or (_load(f"{_EXTENSIONS}.{name}") if name.isidentifier() else None)
    return _files[name]


def hook(kind: FileKind | MapKind | TaskKind | None, name: str) -> Any:
    """What a kind has of an optional name, None if nothing; getattr would make an error for each that has not."""
    return kind.__dict__.get(name)


def having(name: str, files: Sequence[File]) -> list[tuple[File, Any]]:
    """The files whose kinds have something of an optional name, with that: one question a kind, not one a file."""
    hooks = {kind: hook(file_kind(kind), name) for kind in {file.kind for file in files}}
    return [(file, hooks[file.kind]) for file in files if hooks[file.kind] is not None] if any(hooks.values()) else []


def claim_file(f: FileFacts) -> tuple[str, FileKind]:
    """The kind that keeps this file description.

    :raises Blocker: nobody claims it.
    """
    name = file_name(f)
    kind = file_kind(name)
    if kind is None or hook(kind, "claims") is None or not kind.claims(f):
        raise Blocker(
            f"{f.where} is {f.link!r}, of kind {name}, which cannot be kept",
            code=f"kind-{name}",
            pid=f.pid,
            resource=f.where,
            hint="close it before the dump, or stop what uses it",
        )
    return name, kind


def map_kind(name: str) -> MapKind:
    """The module of `replant.resources.maps` of that name."""
    if name not in _maps:
        module = _load(f"replant.resources.maps.{name}") if name.isidentifier() else None
        if module is None:
            raise ImageError(f"there is no kind of mapping named {name!r}", code="image-kind")
        _maps[name] = module
    return _maps[name]


def grouped(files: Sequence[File]) -> list[tuple[FileKind, list[File]]]:
    """Files that must be made in one go stand together, in the order of the first of each group."""
    groups: dict[object, list[File]] = {}
    for file in files:
        group = hook(file_kind(file.kind), "group")
        key = (file.kind, group(file)) if group is not None else file.number
        groups.setdefault(key, []).append(file)
    return [(_known(members[0].kind), members) for members in groups.values()]


def told(files: Iterable[File], name: str = "tells") -> list[str]:
    """What kinds have to say of the files of a dump or (``"warns"``) of a restore, a line for each that has."""
    by_kind: dict[str, list[File]] = {}
    for file in files:
        by_kind.setdefault(file.kind, []).append(file)
    lines = [say(of) for kind, of in by_kind.items() if (say := hook(file_kind(kind), name))]
    return [line for line in lines if line]


def _known(name: str) -> FileKind:
    kind = file_kind(name)
    if kind is None:
        raise ImageError(f"there is no kind of file named {name!r}", code="image-kind")
    return kind


def task_kinds() -> dict[str, TaskKind]:
    """Every kind of `replant.resources.task`, by name."""
    if not _tasks:
        from replant.resources import task

        folder = os.path.dirname(task.__file__ or "")
        names = sorted(n[:-3] for n in os.listdir(folder) if n.endswith(".py") and not n.startswith("_"))
        _tasks.update({n: _module(f"replant.resources.task.{n}") for n in names})
    return _tasks


def state_class(family: str, name: str) -> type[Frozen]:
    """The State of a kind, for the codec; ``family`` is ``"files"`` or ``"task"``.

    :raises ImageError: this version has no such kind.
    """
    kind = file_kind(name) if family == "files" else task_kinds().get(name)
    if kind is None:
        raise ImageError(
            f"the image holds a {family} object of kind {name!r}, which this version does not know",
            code="image-kind",
            hint="restore it with the version that wrote it, or a newer one",
        )
    return kind.State


def states() -> list[type[Frozen]]:
    """The States of all kinds that are loaded."""
    kinds: list[FileKind | TaskKind | None] = [*task_kinds().values(), *_files.values()]
    return [state for kind in kinds if kind and (state := hook(kind, "State"))]


def _load(module: str):  # type: ignore[no-untyped-def]
    try:
        return _module(module)
    except ModuleNotFoundError as e:
        if e.name not in (module, _EXTENSIONS):
            raise
        return None


def _module(name: str):  # type: ignore[no-untyped-def]
    """importlib.import_module, without the time that importlib takes to import."""
    __import__(name)
    return sys.modules[name]
