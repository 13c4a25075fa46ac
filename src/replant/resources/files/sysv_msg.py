"""System V message queues, msgget(2): number, key, owner, mode, limit, and the messages with their types, in order.

Nothing but a number in its memory joins a process with a queue; so a queue is the tree's by what the kernel remembers
of its users (`shared.sysv`). Messages are copied without being taken out (MSG_COPY). A process that waits in msgrcv(2)
or msgsnd(2) is not in the queue: it enters the call again. Times are new.
"""

from __future__ import annotations

import os
import struct

from replant.abi import ipc, x86_64
from replant.abi.call import Out
from replant.abi.libc import syscall, syscall_raw
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, sysv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, RestoreSide

VERSION = 1
SEEKABLE = False
DESCRIPTOR = False
_LIMITS = "/proc/sys/kernel"
_ENOMSG = 42
_DUMMY = struct.pack("=q1s", 1, b"")


class Message(Frozen):
    """``type`` is its number of msgsnd(2), ``data`` where its bytes are."""

    type: int
    data: Extent


class State(Frozen):
    """``limit``: how many bytes may wait; ``lspid`` sent last, ``lrpid`` received, 0: nobody of the tree."""

    object: sysv.Object
    limit: int
    lspid: int
    lrpid: int
    messages: tuple[Message, ...]


def standing(dump: DumpSide, known: Sequence[File]) -> Iterable[State]:
    """The queues of the tree. :raises Blocker: others use one too."""
    for row in sysv.table("msg"):
        users = (row["lspid"], row["lrpid"])
        if sysv.belongs(row, users, dump):
            others = sysv.strangers(users, dump)
            outside = bool(others) and sysv.alone(_name(row["id"]), f"process {others[0]}", dump)
            yield _state(row, outside, dump)


def _state(row: sysv.Row, outside: bool, dump: DumpSide) -> State:
    packed = bytearray(ipc.MSQID_DS)
    syscall(x86_64.msgctl, row["id"], ipc.IPC_STAT, packed)
    sender, receiver = [row[name] if row[name] in dump.pids() else 0 for name in ("lspid", "lrpid")]
    messages = () if outside else tuple(_messages(row["id"], dump))
    return State(sysv.common(row, outside), ipc.queue_limit(packed), sender, receiver, messages)


def _messages(number: int, dump: DumpSide) -> Iterable[Message]:
    longest = _number("msgmax")
    buffer = bytearray(8 + longest)
    for place in range(1 << 30):
        size = syscall_raw(x86_64.msgrcv, number, buffer, longest, place, ipc.MSG_COPY | ipc.IPC_NOWAIT)
        if size == -_ENOMSG:
            return
        if size < 0:
            raise Blocker(
                f"{_name(number)}: its message {place} cannot be copied ({os.strerror(-size)})",
                code="ipc-message",
                pid=min(dump.pids()),
                resource=_name(number),
                hint="raise kernel.msgmax to what it was when the message was sent, or use a kernel with MSG_COPY",
            )
        yield Message(struct.unpack_from("=q", buffer)[0], dump.keep(bytes(buffer[8 : 8 + size])))


def _number(limit: str) -> int:
    with open(f"{_LIMITS}/{limit}", encoding="ascii") as file:
        return int(file.read())


def _name(number: int) -> str:
    return f"message queue {number}"


def _state_of(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def group(file: File) -> object:
    """Each is one by itself."""
    return _state_of(file).object.id


def check(file: File) -> None:
    """:raises Blocker: its number or its key is taken, or it has gone and others used it too."""
    own = _state_of(file).object
    sysv.check(_name(own.id), "msg", own, _is_used)


def _is_used(row: sysv.Row) -> bool:
    return any(pid and os.path.exists(f"/proc/{pid}") for pid in (row["lspid"], row["lrpid"]))


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Make it and send the messages, with more room than it had if that was made less since."""
    numbers = []
    for file in files:
        state = _state_of(file)
        numbers.append(state.object.id)
        if not state.object.outside:
            _make(state, on, restore)
    return numbers


def _make(state: State, on: Track, restore: RestoreSide) -> None:
    own = state.object
    sysv.prepare("msg", own, x86_64.msgctl, on)
    maker = restore.stand_in(on, state.lspid, own.cuid, own.cgid)
    how = ipc.IPC_CREAT | ipc.IPC_EXCL | own.mode & 0o777
    made = maker.call(x86_64.msgget, own.key, how, why="message queue", gives=own.id)
    sysv.made(made, maker, x86_64.msgctl)
    waiting = max(sum(message.data.length for message in state.messages), len(state.messages))
    room = max(state.limit, waiting)
    if room > _number("msgmnb"):
        larger = ipc.pack_queue(own.cuid, own.cgid, own.mode, room)
        maker.call(x86_64.msgctl, own.id, ipc.IPC_SET, larger, why="room for its messages")
    if state.lrpid or (state.lspid and not state.messages):
        maker.call(x86_64.msgsnd, own.id, _DUMMY, 1, ipc.IPC_NOWAIT, why="sent, so that it can be received")
        receiver = restore.stand_in(on, state.lrpid, 0, 0)
        receiver.call(x86_64.msgrcv, own.id, Out(16), 1, 0, ipc.IPC_NOWAIT, why="who received last")
        maker = restore.stand_in(on, state.lspid, own.cuid, own.cgid)
    for message in state.messages:
        packed = struct.pack("=q", message.type) + restore.load(message.data)
        maker.call(x86_64.msgsnd, own.id, packed, message.data.length, ipc.IPC_NOWAIT, why="message")
    owner = ipc.pack_queue(own.uid, own.gid, own.mode, state.limit)
    on.call(x86_64.msgctl, own.id, ipc.IPC_SET, owner, why="owner and limit")


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but the place of the messages in the page store."""
    yield from compare.fields(before, after, ("messages",))
    old, new = ([(m.type, m.data.length) for m in state.messages] for state in (before, after))
    if old != new:
        yield f"messages (type, bytes) were {old}, are {new}"
