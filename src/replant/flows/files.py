"""Which file descriptions a frozen tree has, and who holds them: descriptors, mappings, cwd, root, exe.

Descriptors that show the same object are the same description only if the kernel says so: kcmp(2), whose answer is an
order, so that a thousand look-alikes cost a sort and not a million comparisons.
"""

from __future__ import annotations

import os
from _functools import (  # type: ignore[import-not-found]
    cmp_to_key,  # functools itself takes milliseconds to import
)
from struct import Struct

from replant.abi import libc, x86_64
from replant.errors import Blocker, Refused
from replant.flows import in_flight
from replant.model.tree import Descriptor, FdTable, File, Owner
from replant.resources import registry
from replant.tracee.kcmp import compare_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Mapping as Mapped

    from replant.observe.procfs import Fd, FdInfo, Mapping
    from replant.resources.protocol import DumpSide, FileFacts, FileKind, Hold

    Holder = tuple[int, Fd, FdInfo]
    Claimed = tuple["OpenFile", str, FileKind]

_F_GETOWN_EX, _F_GETSIG, _F_GETOWNER_UIDS = 16, 11, 17
_O_ASYNC, _O_PATH = 0o20000, 0o10000000
_PAIR = Struct("=ii")
_NOT_STATUS = os.O_CLOEXEC
S_IFCHR = 0o020000
_CAN_SIGNAL = (0o010000, 0o140000, S_IFCHR)  # FIFO, socket, character device
_MAPPED_BY_FD = ("anon_inode:", "socket:")  # cannot be opened through a mapping: only a descriptor leads there
_NEVER_SIGNAL = tuple(os.makedev(1, minor) for minor in (3, 5, 7))  # /dev/null, zero, full


class OpenFile:
    """`FileFacts` of one description, seen through its first holder."""

    link: str
    mode: int
    dev: int
    ino: int
    rdev: int
    nlink: int
    size: int
    flags: int

    __slots__ = (
        "_files", "_grabbed", "carrier", "dev", "fd", "flags", "holders", "info", "ino", "lines", "link", "mode",
        "nlink", "number", "path", "pid", "pos", "rdev", "size", "where",
    )  # fmt: skip

    def __init__(self, files: Files, pid: int, fd: int, where: str, path: str) -> None:
        self._files = files
        self._grabbed = -1
        self.number = len(files.found)
        self.pid, self.fd, self.where, self.path = pid, fd, where, path
        self.pos = 0
        self.carrier = 0  # the process of whom somebody could receive it; 0: it is open in ``pid``
        self.info: dict[str, str] = {}
        self.lines: list[str] = []
        self.holders: Sequence[tuple[int, int, Sequence[str]]] = ()

    def grab(self) -> int:
        """Our own descriptor of the description (pidfd_getfd(2)), or a new one of the inode where no fd holds it."""
        if self._grabbed < 0:
            if self.fd >= 0:
                pidfd = self._files.pidfd(self.pid)
                self._grabbed = libc.syscall(x86_64.pidfd_getfd, pidfd, self.fd, 0)
            else:
                self._grabbed = os.open(self.path, self.flags | os.O_CLOEXEC)
        return self._grabbed

    def number_of(self, pid: int, fd: int) -> int | None:
        """The description behind another descriptor of the tree."""
        return self._files.by_fd.get((pid, fd))

    def close(self) -> None:
        """Give back what `grab` took."""
        if self._grabbed >= 0:
            os.close(self._grabbed)
            self._grabbed = -1

    def owner(self) -> Owner | None:
        """Who gets its signals; asked only of what can send any. Whoever takes a lease becomes the owner."""
        if self.fd < 0 or self.flags & _O_PATH or not (self.flags & _O_ASYNC or self._can_signal()):
            return None
        fd = self.grab()
        who, uids = bytearray(8), bytearray(8)
        libc.syscall(x86_64.fcntl, fd, _F_GETOWN_EX, who)
        libc.syscall_raw(x86_64.fcntl, fd, _F_GETOWNER_UIDS, uids)  # EINVAL: a kernel that does not tell
        kind, pid = _PAIR.unpack(who)
        signal = libc.syscall(x86_64.fcntl, fd, _F_GETSIG)
        asked = kind or pid or signal
        return Owner(kind, pid, signal, *_PAIR.unpack(uids)) if asked or self._is_leased() else None

    def _can_signal(self) -> bool:
        able = self.mode & 0o170000 in _CAN_SIGNAL and self.rdev not in _NEVER_SIGNAL
        return able or self._is_leased()

    def _is_leased(self) -> bool:
        return any(" LEASE " in line for line in self.lines)


class Files:
    """All descriptions of a tree, by number in the order of discovery."""

    def __init__(self) -> None:
        self.found: list[OpenFile] = []
        self.by_fd: dict[tuple[int, int], int] = {}
        self._pidfds: dict[int, int] = {}
        self._received: list[int] = []
        self._inodes_mapped: dict[tuple[object, ...], int] = {}
        self._mappings: dict[int, int] = {}
        self.holds: dict[str, Hold] = {}

    def mappings(self, dev: int, ino: int) -> int:
        """How many mappings of the tree are of that inode."""
        of = {file.number for file in self.found if (file.dev, file.ino) == (dev, ino)}
        return sum(count for number, count in self._mappings.items() if number in of)

    def pidfd(self, pid: int) -> int:
        """A pidfd of a process of the tree, opened once."""
        if pid not in self._pidfds:
            self._pidfds[pid] = os.pidfd_open(pid)
        return self._pidfds[pid]

    def add_tables(
        self, tables: Iterable[tuple[int, Sequence[Fd], dict[int, FdInfo], Mapped[int, object]]]
    ) -> list[FdTable]:
        """Unify the descriptors of all processes into descriptions; rows of a pid and what `Facts.files` gives."""
        tables = list(tables)
        alike: dict[object, list[Holder]] = {}
        known: dict[object, list[Holder]] = {}
        for pid, fds, infos, keys in tables:
            for fd in fds:
                info = infos[fd.number]
                if fd.number in keys:
                    known.setdefault(keys[fd.number], []).append((pid, fd, info))
                else:
                    key = (fd.dev, fd.inode, fd.target, info.pos, info.flags & ~_NOT_STATUS, _identity(info))
                    alike.setdefault(key, []).append((pid, fd, info))
        for holders in known.values():
            self._add(holders)
        for holders in alike.values():
            for same in _descriptions(holders):
                self._add(same)
        return [self._table(pid, fds, infos) for pid, fds, infos, _ in tables]

    def _add(self, same: Sequence[Holder]) -> None:
        file = self.describe(*same[0])
        file.holders = [(pid, fd.number, info.rest) for pid, fd, info in same]
        for pid, fd, _ in same:
            self.by_fd[pid, fd.number] = file.number

    def _table(self, pid: int, fds: Sequence[Fd], infos: dict[int, FdInfo]) -> FdTable:
        return FdTable(
            pid,
            tuple(
                Descriptor(fd.number, self.by_fd[pid, fd.number], bool(infos[fd.number].flags & os.O_CLOEXEC))
                for fd in sorted(fds)
            ),
        )

    def describe(self, pid: int, fd: Fd, info: FdInfo) -> OpenFile:
        """A new description, seen through a descriptor."""
        file = OpenFile(self, pid, fd.number, f"fd {fd.number}", f"/proc/{pid}/fd/{fd.number}")
        file.link, file.mode, file.dev, file.ino = fd.target, fd.mode, fd.dev, fd.inode
        file.rdev, file.nlink, file.size = fd.rdev, fd.nlink, fd.size
        file.pos, file.flags = info.pos, info.flags & ~_NOT_STATUS
        file.lines = list(info.rest)
        file.info = {k: v.strip() for k, _, v in (line.partition(":") for line in info.rest)}
        self.found.append(file)
        return file

    def add_link(self, pid: int, name: str, flags: int) -> int:
        """The number of the description that stands for ``cwd``, ``root`` or ``exe``; -1 where there is none."""
        path = f"/proc/{pid}/{name}"
        try:
            st = os.stat(path)
            link = os.readlink(path)
        except (FileNotFoundError, ProcessLookupError):
            return -1
        return self._inode(pid, name, path, link, st, flags)

    def add_terminal(self, pid: int, rdev: int, key: int) -> int:
        """The number of the description that stands for a controlling terminal, known by device and ``key``."""
        if (rdev, key) not in self._inodes_mapped:
            name = f"/dev/pts/{os.minor(rdev)}"
            file = OpenFile(self, pid, -1, "controlling terminal", name)
            file.link, file.mode, file.rdev, file.nlink = name, S_IFCHR, rdev, 1
            file.dev = file.ino = file.size = 0
            file.flags = os.O_RDWR | os.O_NOCTTY
            self.found.append(file)
            self._inodes_mapped[rdev, key] = file.number
        return self._inodes_mapped[rdev, key]

    def has_device(self, major: int, minor: int) -> bool:
        """Whether a device is open."""
        rdev = os.makedev(major, minor)
        return any(file.rdev == rdev and file.mode & 0o170000 == S_IFCHR for file in self.found)

    def add_mapping(self, pid: int, m: Mapping, writable: bool) -> int:
        """The description that a mapping needs: for writing only where it is shared and may be written."""
        key = (m.dev, m.inode, m.path, writable)
        if key not in self._inodes_mapped and (file := self._behind(m)) is not None:
            self._inodes_mapped[key] = file.number
        if key not in self._inodes_mapped:
            path = f"/proc/{pid}/map_files/{m.start:x}-{m.end:x}"
            where = f"mapping {m.start:x}-{m.end:x}"
            flags = os.O_RDWR if writable else os.O_RDONLY
            self._inodes_mapped[key] = self._inode(pid, where, path, os.readlink(path), os.stat(path), flags)
        number = self._inodes_mapped[key]
        self._mappings[number] = self._mappings.get(number, 0) + 1
        return number

    def _behind(self, m: Mapping) -> OpenFile | None:
        """The description of what can be mapped by its descriptor only, if one is left."""
        if not m.path.startswith(_MAPPED_BY_FD):
            return None
        return next((f for f in self.found if f.fd >= 0 and (f.ino, f.link) == (m.inode, m.path)), None)

    def _inode(self, pid: int, where: str, path: str, link: str, st: os.stat_result, flags: int) -> int:
        key = (st.st_dev, st.st_ino, link, flags)
        if key not in self._inodes_mapped:
            file = OpenFile(self, pid, -1, where, path)
            file.link, file.mode, file.dev, file.ino = link, st.st_mode, st.st_dev, st.st_ino
            file.rdev, file.nlink, file.size, file.flags = st.st_rdev, st.st_nlink, st.st_size, flags
            self.found.append(file)
            self._inodes_mapped[key] = file.number
        return self._inodes_mapped[key]

    def received(self, fd: int, via: FileFacts) -> int:
        """The number of a description that came to us in a message through ``via``, as our descriptor ``fd``."""
        self._received.append(fd)
        return in_flight.number(self, fd, via)

    def read(self, dump: DumpSide, blockers: list[Blocker]) -> tuple[File, ...]:
        """The frozen rows of all descriptions; what cannot be kept is added to ``blockers``.

        What is only in flight is found while the others are read, and read in its turn.
        """
        rows: list[File] = []
        seen = 0
        while seen < len(self.found):
            found, seen = self.found[seen:], len(self.found)
            claimed = self._claimed(found, blockers)
            if self._is_dangerous(claimed, blockers):
                return ()
            rows += self._rows(claimed, dump, blockers)
        self._standing(rows, dump, blockers)
        for kind, group in registry.grouped(rows):
            try:
                getattr(kind, "complete", _complete)(group)
            except Blocker as b:
                blockers.append(in_flight.placed(self, b))
            except Refused as several:
                blockers += [in_flight.placed(self, b) for b in several.blockers]
        return tuple(rows)

    def _rows(self, claimed: list[Claimed], dump: DumpSide, blockers: list[Blocker]) -> Iterator[File]:
        for f, name, kind in self._held(claimed, dump, blockers):
            try:
                pos = f.pos if getattr(kind, "SEEKABLE", True) else 0  # a kernel may count where nobody can seek
                yield File(f.number, name, f.flags, pos, f.owner(), kind.read(f, dump))
            except Blocker as b:
                b.pid = f.carrier or b.pid
                blockers.append(b)
            finally:
                f.close()

    def _standing(self, rows: list[File], dump: DumpSide, blockers: list[Blocker]) -> None:
        """Rows of what belongs to the tree though nothing of it refers to it."""
        number = len(self.found)
        for name, kind in registry.standing():
            try:
                for state in kind.standing(dump, [row for row in rows if row.kind == name]):
                    rows.append(File(number, name, 0, 0, None, state))
                    number += 1
            except Blocker as b:
                blockers.append(b)

    def number_of_inode(self, dev: int, ino: int) -> int | None:
        """The first description of that inode that is really open."""
        found = (f.number for f in self.found if (f.dev, f.ino) == (dev, ino) and not f.flags & _O_PATH)
        return next(found, None)

    def _claimed(self, found: Sequence[OpenFile], blockers: list[Blocker]) -> list[Claimed]:
        claimed = []
        for f in found:
            try:
                claimed.append((f, *registry.claim_file(f)))
            except Blocker as b:
                b.pid = f.carrier or b.pid
                blockers.append(b)
            finally:
                f.close()
        return claimed

    def _is_dangerous(self, claimed: list[Claimed], blockers: list[Blocker]) -> bool:
        found = False
        for f, _, kind in claimed:
            danger = registry.hook(kind, "danger")
            if danger is not None:
                try:
                    danger(f)
                except Blocker as b:
                    blockers.append(b)
                    found = True
        return found

    def _held(self, claimed: list[Claimed], dump: DumpSide, blockers: list[Blocker]) -> list[Claimed]:
        """Those that can be read, kinds with a `hold` holding what they need."""
        by_kind: dict[str, list[OpenFile]] = {}
        for f, name, kind in claimed:
            if registry.hook(kind, "hold") is not None:
                by_kind.setdefault(name, []).append(f)
        refused = set()
        for name, files in by_kind.items():
            try:
                if name in self.holds:  # what the others need is held already, in one go
                    raise in_flight.unheld(files[0])
                held = registry.file_kind(name).hold(files, dump)  # type: ignore[union-attr]
                if held is not None:
                    self.holds[name] = held
            except Blocker as b:
                blockers.append(b)
                refused.add(name)
            finally:
                for f in files:
                    f.close()
        return [row for row in claimed if row[1] not in refused]

    def close(self) -> None:
        """Close every descriptor that was opened to look."""
        for f in self.found:
            f.close()
        for fd in (*self._pidfds.values(), *self._received):
            os.close(fd)
        self._received.clear()
        self._pidfds.clear()


def _identity(info: FdInfo) -> str:
    """A line of fdinfo that only one description has; others move, or are shown to one holder only."""
    return next((line for line in info.rest if line.startswith("eventfd-id")), "")


def _complete(group: Sequence[File]) -> None:
    """Most kinds have no parts that could be missing."""


def _descriptions(holders: list[Holder]) -> list[list[Holder]]:
    if len(holders) == 1:
        return [holders]
    ordered = sorted(holders, key=cmp_to_key(_compare))
    groups = [[ordered[0]]]
    for holder in ordered[1:]:
        if _compare(groups[-1][0], holder) == 0:
            groups[-1].append(holder)
        else:
            groups.append([holder])
    # in the order of the first holder, so that numbers do not depend on kernel addresses
    place = {id(h): i for i, h in enumerate(holders)}
    for group in groups:
        group.sort(key=lambda h: place[id(h)])
    return sorted(groups, key=lambda g: place[id(g[0])])


def _compare(a: Holder, b: Holder) -> int:
    return compare_files(a[0], a[1].number, b[0], b[1].number)
