"""epoll_create(2): which files are watched, under which number, for which events, with which user data.

An entry belongs to a file description and to the number by which it was added. The number may be closed by now, or be
another file, while the description lives on elsewhere; kcmp(2) tells which description an entry means. Whether an
edge was already reported cannot be seen: after restore it is reported once more if the target is ready, as the
interface allows.
"""

from __future__ import annotations

import os

from replant.abi import epoll, fcntl, poll, x86_64
from replant.abi.call import Out
from replant.abi.libc import syscall
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
USES = {"attach": ("places",)}
GIVES: dict[str, tuple[str, ...]] = {"attach": ()}
_EBADF = 9
_ANY_EVENT = (
    epoll.EPOLLIN | epoll.EPOLLPRI | epoll.EPOLLOUT | epoll.EPOLLRDNORM | epoll.EPOLLWRNORM | epoll.EPOLLRDHUP
)  # fmt: skip


class Target(Frozen):
    """Description number ``file`` added as ``fd``; ``elsewhere``: that descriptor is not (or no longer) that file.

    ``asleep``: it is disarmed and not ready, so that it must be made ready for a moment to be disarmed again.
    """

    fd: int
    file: int
    events: int
    data: int
    elsewhere: bool
    asleep: bool = False


class State(Frozen):
    """The targets, those disarmed after one shot first."""

    targets: tuple[Target, ...]


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[eventpoll]``."""
    return f.link == "anon_inode:[eventpoll]"


def read(f: FileFacts, dump: DumpSide) -> State:
    """The ``tfd:`` lines of fdinfo. :raises Blocker: for a target whose file no descriptor of the tree shows."""
    seen: dict[int, int] = {}
    targets = []
    for line in f.lines:
        if not line.startswith("tfd:"):
            continue
        words = line.split()
        fd, events, data = int(words[1]), int(words[3], 16), int(words[5], 16)
        slot = epoll.pack_slot(f.fd, fd, seen.get(fd, 0))
        seen[fd] = seen.get(fd, 0) + 1
        pid, holder = _holder(f, dump, fd, slot, int(words[7].removeprefix("ino:"), 16))
        number = f.number_of(pid, holder)
        assert number is not None
        asleep = not events & ~epoll.PRIVATE and not _ready(pid, holder)
        if asleep and not dump.can_rouse(number):
            raise refuse(
                f, f"its one-shot entry {fd} is disarmed, and its file is not ready, so it cannot be disarmed again"
            )
        targets.append(Target(fd, number, events, data, (pid, holder) != (f.pid, fd), asleep))
    return State(tuple(sorted(targets, key=lambda t: (bool(t.events & ~epoll.PRIVATE), *t))))


def _holder(f: FileFacts, dump: DumpSide, fd: int, slot: bytes, ino: int) -> tuple[int, int]:
    """A descriptor of the file that an entry means: normally the one it was added by."""
    if f.number_of(f.pid, fd) is not None and _is_target(f, f.pid, fd, slot):
        return f.pid, fd
    for pid, other in _descriptors(dump, ino):
        if f.number_of(pid, other) is not None and _is_target(f, pid, other, slot):
            return pid, other
    raise refuse(f, f"it watches a file, once descriptor {fd}, that no descriptor of the tree shows any more")


def _is_target(f: FileFacts, pid: int, fd: int, slot: bytes) -> bool:
    return syscall(x86_64.kcmp, pid, f.pid, epoll.KCMP_EPOLL_TFD, fd, slot) == 0


def _descriptors(dump: DumpSide, ino: int) -> Iterator[tuple[int, int]]:
    """Every descriptor of the tree with that inode number."""
    for pid in sorted(dump.pids()):
        folder = f"/proc/{pid}/fd"
        for name in os.listdir(folder):
            try:
                if os.stat(f"{folder}/{name}").st_ino == ino:
                    yield pid, int(name)
            except FileNotFoundError:
                continue


def _ready(pid: int, fd: int) -> bool:
    pidfd = os.pidfd_open(pid)
    try:
        own = syscall(x86_64.pidfd_getfd, pidfd, fd, 0)
    finally:
        os.close(pidfd)
    try:
        return bool(poll.poll_now(own, _ANY_EVENT))
    finally:
        os.close(own)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Empty sets; targets are added where their numbers mean something."""
    return [on.call(x86_64.epoll_create1, 0, why="epoll set") for _ in files]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Add every target under the number that it had."""
    assert isinstance(file.state, State)
    for target in file.state.targets:
        if target.elsewhere:
            _add_as(target, fd, on, restore)
        else:
            _add(target, fd, on, restore)


def _add(target: Target, fd: int, on: Track, restore: RestoreSide) -> None:
    armed = target.events & ~epoll.PRIVATE
    events = target.events if armed else target.events | _ANY_EVENT
    event = epoll.pack_event(events, target.data)
    take_back = restore.rouse(target.file, on) if target.asleep else None
    on.call(x86_64.epoll_ctl, fd, epoll.EPOLL_CTL_ADD, target.fd, event, why="epoll target")
    if not armed:
        on.call(x86_64.epoll_wait, fd, Out(12), 1, 0, why="only a report disarms an entry of one shot")
    if take_back is not None:
        take_back()


def _add_as(target: Target, fd: int, on: Track, restore: RestoreSide) -> None:
    """The number is free or stands for another file: it is lent to the target for the moment of adding."""
    flags = on.call(x86_64.fcntl, target.fd, fcntl.F_GETFD, why="who has the number", ok=(_EBADF,))
    kept = on.call(x86_64.fcntl, target.fd, fcntl.F_DUPFD_CLOEXEC, 0, why="put aside", ok=(_EBADF,))
    on.call(x86_64.dup3, restore.fd(target.file), target.fd, fcntl.O_CLOEXEC, why="the number under which it was added")
    _add(target, fd, on, restore)
    on.call(x86_64.close, target.fd)
    on.call(x86_64.dup3, kept, target.fd, 0, why="as it was", ok=(_EBADF,))
    on.call(x86_64.fcntl, target.fd, fcntl.F_SETFD, flags, ok=(_EBADF,))
    on.call(x86_64.close, kept, ok=(_EBADF,))


def can_rouse(f: FileFacts) -> bool:
    """Always."""
    return True


def rouse(file: File, fd: Slot | int, on: Track, restore: RestoreSide) -> Callable[[], None]:
    """Another target, which is ready."""
    ready = on.call(x86_64.eventfd2, 1, 0, why="something ready")
    event = epoll.pack_event(epoll.EPOLLIN, 0)
    on.call(x86_64.epoll_ctl, fd, epoll.EPOLL_CTL_ADD, ready, event, why="so that the set is ready")

    def take_back() -> None:
        on.call(x86_64.epoll_ctl, fd, epoll.EPOLL_CTL_DEL, ready, 0, why="as it was")
        on.call(x86_64.close, ready)

    return take_back
