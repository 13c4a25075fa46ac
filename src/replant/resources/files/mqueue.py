"""POSIX message queues, mq_overview(7): name, limits, mode, owner, messages by priority, and a requested notification.

No call reads a message without taking it out, which would wake up who waits and set off notifications; messages, and
the value that a notification carries, are read from the kernel's memory (BPF), and refused where it cannot be read.
A queue that others have open as well is refused, or left as it is (``--ipc leave``). One that the tree itself has left
under its name is removed at restore. A process that waits in mq_receive or mq_send enters the call again. Notification
through a thread is refused: the C library hides a socket behind it. Times are new; the bytes of a queue count against
RLIMIT_MSGQUEUE of who restores.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISREG

from replant.abi import fcntl, mqueue, x86_64
from replant.abi.libc import syscall
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, holders, kernel
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
_DELETED = " (deleted)"
_EBUSY = 16


class Message(Frozen):
    """``data`` is where the bytes of a message are."""

    priority: int
    data: Extent


class Notify(Frozen):
    """What process ``pid`` has asked for by mq_notify(2), ``method`` and ``signal`` and ``value`` of a sigevent."""

    pid: int
    method: int
    signal: int
    value: int


class State(Frozen):
    """``ino`` joins descriptions of one queue, ``holder`` is a process that has this one.

    ``outside``: others have it too, so it must be there at restore, with whatever is in it.
    """

    name: str
    unlinked: bool
    outside: bool
    dev: int
    ino: int
    mode: int
    uid: int
    gid: int
    maxmsg: int
    msgsize: int
    holder: int
    notify: Notify | None
    messages: tuple[Message, ...]


def claims(f: FileFacts) -> bool:
    """A file of the filesystem of message queues."""
    return S_ISREG(f.mode) and f.size == mqueue.FILE_SIZE


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about the queue. :raises Blocker: others have it open, or its inside cannot be read."""
    fd = f.grab()
    attr = bytearray(mqueue.MQ_ATTR)
    syscall(x86_64.mq_getsetattr, fd, 0, attr)
    maxmsg, msgsize, waiting = mqueue.unpack_attr(attr)
    outside = _outside(f, dump)
    found = _inside(f, waiting) if not outside else None
    notify = found.notify if found else None
    messages = tuple([Message(priority, dump.keep(data)) for priority, data in found.messages]) if found else ()
    name, owner = os.path.basename(f.link.removesuffix(_DELETED)), os.fstat(fd)
    return State(
        name, f.nlink == 0, outside, f.dev, f.ino, f.mode, owner.st_uid, owner.st_gid,
        maxmsg, msgsize, f.pid, notify, messages,
    )  # fmt: skip


def _outside(f: FileFacts, dump: DumpSide) -> bool:
    others = holders.outside(f.dev, f.ino, dump.pids())
    if others and (f.nlink == 0 or dump.policy("ipc") != "leave"):
        hint = "dump with --ipc leave if it will still be there, with whatever they leave in it, at the restore"
        if f.nlink == 0:
            hint = "end them, or take them into the tree: the queue has no name any more by which it could be found"
        raise refuse(f, f"process {others[0]}, not of the tree, has the queue open as well", hint, "ipc-outside")
    return bool(others)


class _Inside:
    def __init__(self, messages: Sequence[tuple[int, bytes]], notify: Notify | None) -> None:
        self.messages, self.notify = messages, notify


def _inside(f: FileFacts, waiting: int) -> _Inside | None:
    """Messages and notification; None: there are none."""
    pid, method, signal = _told(f)
    if method == mqueue.SIGEV_THREAD and pid:
        why = f"process {pid} wants a thread started for the next message, which cannot be kept"
        raise refuse(f, why, "have the program give that up before the dump (mq_notify with NULL)", "mq-notify")
    if not waiting and not pid:
        return None
    reader: Any = kernel.queues([f.pid], "mqueue.MessageQueues")
    queued = reader.queued(f.pid, f.fd) if reader is not None else None
    if queued is None or len(queued.messages) != waiting:
        why = "messages wait in it, or a notification is requested; only BPF can read that without taking it out"
        raise refuse(f, why, "empty the queue, or see 'replant check' for what BPF lacks here", "mq-messages")
    return _Inside(queued.messages, Notify(pid, method, signal, queued.value) if pid else None)


def _told(f: FileFacts) -> tuple[int, int, int]:
    """Who is to be told, by which method and signal: what read(2) of the queue's file says."""
    own = os.open(f"/proc/self/fd/{f.grab()}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        words = os.pread(own, 200, 0).split()
    finally:
        os.close(own)
    told = {name: int(value) for name, _, value in (word.partition(b":") for word in words) if value}
    return told[b"NOTIFY_PID"], told[b"NOTIFY"], told[b"SIGNO"]


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def group(file: File) -> object:
    """Descriptions of one queue are made together."""
    return (_state(file).dev, _state(file).ino)


def complete(files: Sequence[File]) -> None:
    """:raises Blocker: who asked for a notification has no descriptor of its own by which it could do so again."""
    notify = _state(files[0]).notify
    if notify and not any(_state(file).holder == notify.pid for file in files):
        why = f"process {notify.pid} wants to be told of the next message, but has no descriptor of its own any more"
        raise hinder(files[0], _state(files[0]).name, why, "have the program ask again, by mq_notify(2)", "mq-notify")


def check(file: File) -> None:
    """:raises Blocker: another queue has the name, somebody has this one open, or it is gone and others had it too."""
    state = _state(file)
    found = _stat(state.name)
    if state.outside:
        if found is None or (found.st_dev, found.st_ino) != (state.dev, state.ino):
            why = "others used it too, so it was not saved, and it is gone"
            raise hinder(file, f"/{state.name}", why, "restore where it still is", "ipc-taken")
    elif found is not None and not state.unlinked:
        hint = "remove it if nobody needs it (mq_unlink(3)), or restore in another IPC namespace"
        if found.st_ino != state.ino or holders.outside(found.st_dev, found.st_ino):
            raise hinder(file, f"/{state.name}", "a message queue that is in use has its name", hint, "ipc-taken")


def _stat(name: str) -> os.stat_result | None:
    """The queue of that name in our IPC namespace, None if there is none."""
    try:
        fd = syscall(x86_64.mq_open, fcntl.cstring(name), os.O_RDONLY | os.O_CLOEXEC, 0, 0)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Create, fill, open once more for each description; the name goes again if it was gone."""
    state = _state(files[0])
    there = _stat(state.name)
    name = state.name if there is None or not state.unlinked else f"{state.name[:200]}.{state.ino}"
    if not state.outside:
        if there is not None and not state.unlinked:
            on.call(x86_64.mq_unlink, fcntl.cstring(name), why="left over by the tree itself")
        _create(name, state, on, restore)
    opened = [_open(name, file.flags, on) for file in files]
    if state.unlinked:
        on.call(x86_64.mq_unlink, fcntl.cstring(name), why="without a name, as before")
    return opened


def _create(name: str, state: State, on: Track, restore: RestoreSide) -> None:
    how = fcntl.O_CREAT | fcntl.O_EXCL | fcntl.O_RDWR | fcntl.O_NONBLOCK | fcntl.O_CLOEXEC
    attr = mqueue.pack_attr(state.maxmsg, state.msgsize)
    made = on.call(x86_64.mq_open, fcntl.cstring(name), how, 0o600, attr, why="message queue")
    on.undo(made, x86_64.mq_unlink, fcntl.cstring(name))
    for message in state.messages:
        data = restore.load(message.data)
        on.call(x86_64.mq_timedsend, made, data, len(data), message.priority, 0, why="message")
    on.call(x86_64.fchown, made, state.uid, state.gid, why="owner")
    on.call(x86_64.fchmod, made, S_IMODE(state.mode), why="mode")
    on.call(x86_64.close, made)


def _open(name: str, flags: int, on: Track) -> Slot:
    how = flags & (fcntl.O_ACCMODE | fcntl.O_NONBLOCK) | fcntl.O_CLOEXEC
    return on.call(x86_64.mq_open, fcntl.cstring(name), how, 0, 0, why="message queue")


def settle(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """The process that wants to be told asks again; a close of any descriptor of the queue would take that back.

    EBUSY: it has asked by another description.
    """
    state = _state(file)
    if state.notify and state.notify.pid == state.holder:
        event = mqueue.pack_sigevent(state.notify.method, state.notify.signal, state.notify.value)
        on.call(x86_64.mq_notify, fd, event, why="to be told of the next message", ok=(_EBUSY,))


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but the inode and the place of the messages in the page store."""
    yield from compare.fields(before, after, ("dev", "ino", "messages"))
    old, new = ([(m.priority, m.data.length) for m in state.messages] for state in (before, after))
    if old != new:
        yield f"messages (priority, bytes) were {old}, are {new}"
