"""What a kind is given, built from descriptors of the test's own process."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any

from execute import run, value

from replant.abi.call import Slot, Track
from replant.abi.libc import address
from replant.execute import standin
from replant.image.codec import decode, encode
from replant.model.frozen import Frozen
from replant.model.tree import Extent, FdTable, File, Mm, Model, Task
from replant.observe.bpf.terminals import Terminals
from replant.observe.linkable import linkable
from replant.observe.observer import Observer
from replant.tracee.kcmp import compare_files

_NOTHING = {"int": 0, "bool": False, "str": "", "tuple[int, ...]": ()}
SETTABLE = os.O_APPEND | os.O_NONBLOCK | os.O_DIRECT | os.O_NOATIME


class Facts:
    """`replant.resources.protocol.FileFacts` of a descriptor of ours, or of a mapping (``fd`` -1, ``link`` given)."""

    def __init__(self, world: World, fd: int, number: int, path: str = "", flags: int = os.O_RDWR) -> None:
        self.world = world
        self.number, self.pid, self.fd = number, os.getpid(), fd
        self.where = f"fd {fd}" if not path else "mapping"
        self.grabbed = -1
        self.path = path or f"/proc/self/fd/{fd}"
        self.link = os.readlink(self.path)
        st = os.stat(self.path)
        self.mode, self.dev, self.ino, self.rdev = st.st_mode, st.st_dev, st.st_ino, st.st_rdev
        self.nlink, self.size = st.st_nlink, st.st_size
        self.flags, self.pos, self.info, self.lines = flags, 0, {}, []
        self.holders: list[tuple[int, int, list[str]]] = []
        if not path:
            self._fdinfo()

    def _fdinfo(self) -> None:
        with open(f"/proc/self/fdinfo/{self.fd}") as file:
            lines = file.read().splitlines()
        self.pos = int(lines[0].split()[1])
        self.flags = int(lines[1].split()[1], 8) & ~os.O_CLOEXEC
        self.lines = lines[3:]
        self.holders = [(self.pid, self.fd, self.lines)]
        self.info = {key: text.strip() for key, _, text in (line.partition(":") for line in self.lines)}

    def grab(self) -> int:
        if self.grabbed < 0:
            self.grabbed = os.open(self.path, self.flags) if self.fd < 0 else os.dup(self.fd)
        return self.grabbed

    def close(self) -> None:
        if self.grabbed >= 0:
            os.close(self.grabbed)
            self.grabbed = -1

    def number_of(self, pid: int, fd: int) -> int | None:
        assert pid == os.getpid()
        return self.world.numbers.get(fd)


class World:
    """Both sides of a round trip: `DumpSide` and `RestoreSide` over one temporary page store."""

    def __init__(self, **policy: str) -> None:
        self.stack = ExitStack()
        self.store = self.stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self.pages: Slot | int = self.store.fileno()
        self.choices = policy
        self.numbers: dict[int, int] = {}
        self.notes: dict[object, Any] = {}
        self.lowest = 900
        self.holders: dict[int, int] = {}
        self.late = 0
        self.placed: list[bytearray] = []
        self.observer: Observer | None = None
        self.made: dict[int, int] = {}

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stack.close()

    def own(self, fd: int) -> int:
        """Close it at the end, if it is still open then."""
        self.stack.callback(_close, fd)
        return fd

    # the side of the dump
    def keep(self, data: bytes) -> Extent:
        at = os.lseek(self.store.fileno(), 0, os.SEEK_END)
        os.write(self.store.fileno(), data)
        return Extent(0, len(data), at)

    def keep_file(self, fd: int, size: int) -> tuple[Extent, ...]:
        extents, offset = [], 0
        while offset < size:
            try:
                offset = os.lseek(fd, offset, os.SEEK_DATA)
            except OSError:
                break
            end = min(os.lseek(fd, offset, os.SEEK_HOLE), size)
            kept = self.keep(os.pread(fd, end - offset, offset))
            extents.append(kept._replace(offset=offset))
            offset = end
        return tuple(extents)

    def pids(self) -> set[int]:
        return {os.getpid()}

    def file_of(self, dev: int, ino: int) -> int | None:
        opened = [(fd, n) for fd, n in self.numbers.items() if not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH]
        stats = [(number, os.fstat(fd)) for fd, number in opened]
        return next((number for number, st in stats if (st.st_dev, st.st_ino) == (dev, ino)), None)

    def can_rouse(self, number: int) -> bool:
        return False

    def linkable(self, f: Facts) -> bool | None:
        return (found := linkable([f.pid], os.path.dirname(f.link))) and (f.pid, f.fd) in found

    def outsider(self, dev: int, ino: int) -> int:
        return 0

    def inode_in_tree(self, ino: int) -> bool:
        return any(os.fstat(fd).st_ino == ino for fd in self.numbers)

    def received(self, fd: int, f: object) -> int:
        self.own(fd)
        for other, number in self.numbers.items():
            if compare_files(os.getpid(), other, os.getpid(), fd) == 0:
                return number
        raise LookupError("only in flight")

    def terminals(self) -> Terminals | None:
        return self.observer.terminals([os.getpid()]) if self.observer else None

    def held(self, kind: str) -> None:
        """Nothing is."""

    def policy(self, option: str) -> str:
        return self.choices.get(option, "")

    # the side of the restore
    def load(self, extent: Extent) -> bytes:
        return os.pread(self.store.fileno(), extent.length, extent.at)

    def elapsed(self) -> int:
        return self.late

    def holder(self, number: int) -> tuple[int, int] | None:
        fd = self.holders.get(number)
        return None if fd is None else (os.getpid(), fd)

    # the whole way
    def facts(self, *fds: int, others: Sequence[int] = ()) -> list[Facts]:
        """The facts of descriptors that, with some others, are the whole tree."""
        self.numbers = {fd: n for n, fd in enumerate([*fds, *others])}
        return [Facts(self, fd, n) for n, fd in enumerate(fds)]

    def place(self, data: bytes) -> int:
        """In our own memory, for good: we are the process that looks there."""
        self.placed.append(bytearray(data))
        return address(self.placed[-1])

    def stand_in(self, on: Track, pid: int, uid: int = -1, gid: int = -1, real_uid: int = -1, status: int = 0) -> Track:
        """Nobody has to stand in for ourselves."""
        who = standin.Who(pid, uid, gid, real_uid, status)
        return on if pid == os.getpid() else standin.add(on, who)

    def fd(self, number: int) -> int:
        return self.made[number]

    def read(self, kind: str, *fds: int, others: Sequence[int] = ()) -> list[File]:
        """The saved form of our descriptors; each is claimed by the kind."""
        module = module_of(kind)
        files = []
        for f in self.facts(*fds, others=others):
            assert module.claims(f)
            try:
                files.append(File(f.number, kind, f.flags, f.pos, None, module.read(f, self)))
            finally:
                f.close()
        return files

    def make(self, files: Sequence[File]) -> list[int]:
        """The descriptors made again, with status flags and offset, as the caller of a kind puts them on."""
        files = self.from_image(files)
        module = module_of(files[0].kind)
        for file in files:
            if hasattr(module, "check"):
                module.check(file)
        made = self.made
        tracks: list[tuple[list[File], Track]] = []
        for group in groups(module, files):
            track = Track(str(os.getpid()) if hasattr(module, "maker") and module.maker(group) else "replant")
            slots = module.make(group, track, self)
            assert len(slots) == len(group)
            run(track)
            for file, slot in zip(group, slots, strict=True):
                made[file.number] = self.own(_owned(value(track, slot)))
            tracks.append((group, track if track.actor == "replant" else Track("replant")))
        for group, track in tracks:
            if hasattr(module, "fill"):
                module.fill(group, track, self)
                run(track)
        for fd in range(self.lowest, self.lowest + 99):
            _close(fd)
        for file in files:
            fd = made[file.number]
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            if flags & SETTABLE != file.flags & SETTABLE:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~SETTABLE | file.flags & SETTABLE)
            if getattr(module, "SEEKABLE", True) and not file.flags & os.O_PATH:
                os.lseek(fd, file.pos, os.SEEK_SET)
        return [made[file.number] for file in files]

    def from_image(self, files: Sequence[File]) -> list[File]:
        """What an image gives back of these files: the same."""
        known = {"pid": 1, "pgid": 1, "sid": 1, "state": "R", "threads": (1,), "root": -1}
        root = Task(**{name: known.get(name, _NOTHING[kind]) for name, kind in Task.__annotations__.items()})
        tree = Model(1, 0, (root,), (Mm(1, ()),), (FdTable(1, ()),), tuple(files), ())
        kept = decode(*encode(tree), lambda family, kind: module_of(kind).State)
        assert kept.files == tuple(files)
        return list(kept.files)

    def attach(self, file: File, fd: int) -> None:
        """Run what a holder has to do."""
        track = Track("holder")
        module_of(file.kind).attach(file, fd, track, self)
        run(track)

    def settle(self, file: File, fd: int) -> None:
        """Run what a holder has to do last."""
        track = Track("holder")
        module = module_of(file.kind)
        if hasattr(module, "settle"):
            module.settle(file, fd, track, self)
        else:
            module.settle_in(file, os.getpid(), fd, track, self)
        run(track)

    def finish(self, file: File) -> None:
        """Run what the restorer has to do last."""
        track = Track("replant")
        module_of(file.kind).finish(file, track, self)
        run(track)

    def again(self, kind: str, *fds: int) -> tuple[list[File], list[int]]:
        """Read, close, make."""
        files = self.read(kind, *fds)
        for fd in fds:
            os.close(fd)
        return files, self.make(files)

    def unchanged(self, files: Sequence[File], fds: Sequence[int], elapsed: int = 0) -> None:
        """The new descriptors read like the old ones: State, flags and offset."""
        after = self.read(files[0].kind, *fds)
        module = module_of(files[0].kind)
        for old, new in zip(files, after, strict=True):
            assert (old.flags, old.pos) == (new.flags, new.pos)
            found = differences(module, old.state, new.state, elapsed)
            assert found == [], found


def module_of(kind: str) -> ModuleType:
    return import_module(f"replant.resources.files.{kind}")


def groups(module: ModuleType, files: Sequence[File]) -> list[list[File]]:
    """Files that are made in one go."""
    found: dict[object, list[File]] = {}
    for file in files:
        found.setdefault(module.group(file) if hasattr(module, "group") else file.number, []).append(file)
    return list(found.values())


def differences(module: ModuleType, before: Frozen, after: Frozen, elapsed: int = 0) -> list[str]:
    if hasattr(module, "same"):
        return list(module.same(before, after, elapsed))
    return [] if before == after else [f"{before} -> {after}"]


def _owned(fd: int) -> int:
    """A descriptor as a restore keeps it, not closed by exec."""
    os.set_inheritable(fd, True)
    return fd


def _close(fd: int) -> None:
    with suppress(OSError):
        os.close(fd)
