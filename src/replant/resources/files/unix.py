"""Unix sockets of all types: pairs, listening, connected, bound, and what is queued in them.

A pair is made by the process that made it. All other sockets of a tree are made together, as one may be connected to
any other, send to it or listen for it. A peer outside of the tree, connections not yet accepted and descriptors in
flight are refused.
"""

from __future__ import annotations

import os
from stat import S_ISSOCK

from replant.abi import libc, poll, socket, unix, x86_64
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import compare, sockopt, unix_diag, unix_queue
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.unix_make import Maker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide
    from replant.resources.shared.unix_diag import Diag

VERSION = 1
SEEKABLE = False
_PASSING = (socket.SO_PASSCRED, socket.SO_PASSSEC, socket.SO_PASSPIDFD)


class State(Frozen):
    """``ino`` and ``peer`` are inodes (peer 0: closed, -1: none); ``state`` is TCP_ESTABLISHED, _CLOSE or _LISTEN.

    ``name`` is sun_path as bound, ``peer_name`` that of the peer. ``folder`` is the directory that a relative name was
    bound in, ``place`` the absolute path of a name that is a path, ``unlinked`` if it stands for the socket no more;
    ``mode``, ``uid``, ``gid``, ``dev`` and ``file`` are those of the socket file. ``reset``: the peer went without
    having read all. ``credentials`` are pid, uid, gid of SO_PEERCRED, and ``maker`` the same if somebody has to stand
    in for that process, else zeros. ``shutdown``: 1 receiving, 2 sending.
    """

    ino: int
    peer: int
    type: int
    state: int
    name: bytes
    peer_name: bytes
    folder: str
    place: str
    unlinked: bool
    dev: int
    file: int
    mode: int
    uid: int
    gid: int
    backlog: int
    shutdown: int
    reset: bool
    credentials: tuple[int, int, int]
    maker: tuple[int, int, int]
    buffers: sockopt.Buffers
    options: tuple[sockopt.Option, ...]
    queue: tuple[unix_queue.Message, ...]


def claims(f: FileFacts) -> bool:
    """Any socket of the family, so that a refusal can say why."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_UNIX


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about one socket. :raises Blocker: see the module."""
    fd = f.grab()
    diag = unix_diag.ask(f)
    options = sockopt.read(fd, (socket.AF_UNIX, diag.type, 0))
    _refuse(f, dump, diag, options)
    listening = diag.state == socket.TCP_LISTEN
    queue = () if listening else unix_queue.read(f, diag.type, bool(diag.shutdown & 1))
    if queue and any(o.option in _PASSING for o in options):
        raise refuse(f, "messages with the credentials of their senders are queued", "let the program read them")
    credentials = _credentials(fd)
    maker = credentials if _maker(f, dump, credentials[0]) else (0, 0, 0)
    folder, place, st = _place(f, diag)
    return State(
        f.ino, diag.peer, diag.type, diag.state, diag.name, socket.name(fd, x86_64.getpeername)[2:],
        folder, place, st is None and bool(place), *_file(diag, st), diag.backlog, diag.shutdown,
        bool(poll.poll_now(fd) & poll.POLLERR), credentials, maker, sockopt.buffers(fd), options, queue,
    )  # fmt: skip


def _credentials(fd: int) -> tuple[int, int, int]:
    found = socket.get(fd, socket.SOL_SOCKET, socket.SO_PEERCRED, 12) or bytes(12)
    pid, uid, gid = (int.from_bytes(found[i : i + 4], "little", signed=True) for i in (0, 4, 8))
    return pid, uid, gid


def _maker(f: FileFacts, dump: DumpSide, pid: int) -> bool:
    """Whether somebody can stand in for ``pid``: not as long as it lives outside of the tree."""
    if pid <= 0:
        return False
    if pid in dump.pids() or not os.path.exists(f"/proc/{pid}"):
        return True
    if dump.policy("peer-credentials") == "change":
        return False
    raise refuse(
        f,
        f"it remembers process {pid}, which is not in the tree, as the one who made it (SO_PEERCRED)",
        "dump a tree with that process, or let the restorer be remembered: --peer-credentials change",
        "peer-credentials",
    )


def _refuse(f: FileFacts, dump: DumpSide, diag: Diag, options: Sequence[sockopt.Option]) -> None:
    if diag.peer > 0 and not dump.inode_in_tree(diag.peer):
        raise refuse(f, "its peer is outside of the tree", "dump a tree with both, or close it first", "outside")
    if int(f.info.get("scm_fds", "0")):
        raise refuse(f, "file descriptors are in flight through it", "let the receiver take them", "in-flight")
    if diag.waiting:
        raise refuse(f, f"{diag.waiting} connections wait to be accepted", "let the program accept them", "pending")
    if poll.poll_now(f.grab(), poll.POLLPRI) & poll.POLLPRI:
        raise refuse(f, "out-of-band data is queued in it", "let the program read it")
    if diag.peer and poll.poll_now(f.grab()) & poll.POLLERR:
        raise refuse(f, "an error is pending on it (SO_ERROR)", "let the program read it")
    if any(o.option == socket.SO_PEEK_OFF for o in options):
        raise refuse(f, "it has a peek offset (SO_PEEK_OFF)", "set it to -1 before the dump")
    sockopt.no_filter(f)


def _place(f: FileFacts, diag: Diag) -> tuple[str, str, os.stat_result | None]:
    """Where a name that is a path was bound, and the socket file if it still stands for this socket."""
    if not unix.is_path(diag.name):
        return "", "", None
    path = os.fsdecode(unix.path(diag.name))
    if not diag.file[1]:  # accepted by a listener that is gone: the name is all there is
        return "", path, None
    opened = libc.syscall(x86_64.ioctl, f.grab(), unix.SIOCUNIXFILE, 0)
    try:
        place = os.readlink(f"/proc/self/fd/{opened}").removesuffix(" (deleted)")
        bound = os.fstat(opened)
    finally:
        os.close(opened)
    folder = "" if path.startswith("/") else place.removesuffix("/" + path)
    if folder == place:
        raise refuse(f, f"its relative name {path!r} does not fit its place {place!r}", "bind an absolute path")
    try:
        found = os.stat(place, follow_symlinks=False)
    except OSError:
        return folder, place, None
    return folder, place, found if (found.st_dev, found.st_ino) == (bound.st_dev, bound.st_ino) else None


def _file(diag: Diag, st: os.stat_result | None) -> tuple[int, int, int, int, int]:
    return (0, 0, 0, 0, 0) if st is None else (st.st_dev, st.st_ino, st.st_mode & 0o7777, st.st_uid, st.st_gid)


def group(file: File) -> object:
    """A pair without names stands for itself; all other sockets of a tree are made together."""
    state = _state(file)
    if not _is_pair(state):
        return ()
    return (min(state.ino, state.peer), max(state.ino, state.peer)) if state.peer else (state.ino,)


def _is_pair(state: State) -> bool:
    """Born as a pair, of which the other end may be closed."""
    return state.peer >= 0 and state.credentials[0] > 0 and not state.name and not state.peer_name


def maker(files: Sequence[File]) -> int:
    """Who has called socketpair(2)."""
    state = _state(files[0])
    return state.maker[0] if _is_pair(state) else 0


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def complete(files: Sequence[File]) -> None:
    """:raises Blocker: a socket has lost what it takes to make it again: who sent to it, or the name of its peer."""
    states = {_state(file).ino: _state(file) for file in files}
    names = {state.name for state in states.values()}
    for state in states.values():
        why = _lost(state, states.get(state.peer), names)
        if why:
            socket_name = f"socket:[{state.ino}]"
            raise Blocker(f"{socket_name}: {why}", code="unsupported", resource=socket_name, hint="close it first")


def _lost(state: State, peer: State | None, names: set[bytes]) -> str:
    one_way = peer is not None and peer.peer != state.ino
    if state.peer > 0 and peer is None:
        return "it is connected one way to a socket that has no name"
    by_name = one_way or (state.type == socket.SOCK_DGRAM and not state.credentials[0])
    if peer is not None and by_name and not peer.name:
        return "it is connected one way to a socket that has no name"
    if state.peer == 0 and unix.is_path(state.peer_name) and state.peer_name not in names:
        return "its peer, which had the name of a path, is closed"
    if not state.queue or (state.peer >= 0 and not one_way):
        return ""
    if not state.name:
        return "datagrams are queued in it, and it has no name to send them to"
    senders = {message.sender for message in state.queue}
    if peer is not None and senders != {peer.name}:
        return "datagrams of others than its peer are queued in it"
    if any(unix.is_path(sender) and sender not in names for sender in senders):
        return "datagrams are queued in it whose sender had the name of a path and is gone"
    return ""


def check(file: File) -> None:
    """:raises Blocker: the path that a socket was bound to is taken by something else, or its directory is gone."""
    state = _state(file)
    if not state.place:
        return
    if not os.path.isdir(os.path.dirname(state.place)):
        raise hinder(file, state.place, "the directory of the socket is gone", "make it again")
    try:
        found = os.stat(state.place, follow_symlinks=False)
    except OSError:
        return
    left_over = S_ISSOCK(found.st_mode) and (found.st_dev, found.st_ino) == (state.dev, state.file)
    if state.unlinked or not left_over:
        raise hinder(file, state.place, "the path of the socket is taken", "stop what took it, and remove it")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Names and listeners, connections, queued data, options and shut-down directions, in this order."""
    complete(files)
    stand_in = getattr(restore, "stand_in", _no_stand_in)
    return Maker(on, [_state(file) for file in files], stand_in).make()


def _no_stand_in(on: Track, pid: int, uid: int, gid: int) -> Track:
    """Where nobody can stand in, sockets remember whoever restores, and `same` tells."""
    return on


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but numbers of inodes; queued data only if no time has passed."""
    ignored = ["ino", "peer", "dev", "file", "maker", *(["queue", "shutdown", "reset"] if elapsed else [])]
    if before.credentials[0] > 0 and before.maker[0] == 0:
        ignored.append("credentials")
    yield from compare.fields(before, after, ignored)
    if min(before.peer, 1) != min(after.peer, 1):
        yield f"peer: {before.peer} -> {after.peer}"
