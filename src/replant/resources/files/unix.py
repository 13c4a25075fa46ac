"""Unix sockets of all types: pairs, listening, connected, bound, and what is queued in them.

Kept are names whose files are renamed or gone, messages with their senders, credentials and descriptors in flight (of
any kind, even if no process holds them any more), closed peers, shut-down directions, connections that nobody has
accepted yet, options and packet filters. A pair is made by the process that made it; all other sockets of a tree are
made together, as one may be connected to any other, send to it or listen for it. The server side of a connection that
waits will see as its client who holds that now, should it have been connected by somebody else.

Refused are a peer outside of the tree, unless the option ``peers`` says ``reconnect`` or ``close``; waiting
connections whose client is closed, has sent data, or is outside, unless ``pending`` says ``skip``; out-of-band bytes,
errors not yet told, filters that cannot be read.
"""

from __future__ import annotations

import os
from stat import S_ISSOCK

from replant.abi import libc, poll, socket, unix, x86_64
from replant.errors import Blocker, Refused
from replant.model.frozen import Frozen
from replant.observe import procfs
from replant.resources.shared import compare, sockopt, unix_borders, unix_diag, unix_fill, unix_queue
from replant.resources.shared import filter as packet_filter
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.unix_make import Maker
from replant.resources.shared.unix_names import Name, bound_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide
    from replant.resources.shared.unix_diag import Diag

VERSION = 1
SEEKABLE = False
_EFFECTIVE = 1  # of the four ids in /proc/PID/status


class State(Frozen):
    """``ino`` and ``peer`` are inodes (peer 0: closed, or not yet accepted; -1: none); ``state`` is TCP_ESTABLISHED,
    _CLOSE or _LISTEN.

    ``peer_name`` is sun_path of the peer, ``mutual``: the peer is connected to it as well. ``waiting`` are the inodes
    of clients that a listener has not accepted, ``holder`` is pid, uid, gid of who holds such a client. ``unsent`` is
    what the kernel charges for all that it has sent and nobody has read. ``reset``: the peer went without having read
    all. ``credentials`` are pid, uid, gid of SO_PEERCRED, and ``maker`` the same if somebody has to stand in for that
    process, else zeros; ``stranger``: it lives outside of the tree. ``shutdown``: 1 receiving, 2 sending. ``outside``
    and ``pending`` are the user's choices. ``owner`` are uid and gid as fstat(2) tells them of the socket itself.
    """

    ino: int
    peer: int
    type: int
    state: int
    name: Name
    peer_name: bytes
    mutual: bool
    backlog: int
    waiting: tuple[int, ...]
    unsent: int
    holder: tuple[int, int, int]
    shutdown: int
    reset: bool
    credentials: tuple[int, int, int]
    maker: tuple[int, int, int]
    stranger: bool
    owner: tuple[int, int]
    buffers: sockopt.Buffers
    options: tuple[sockopt.Option, ...]
    filter: packet_filter.Filter
    queue: tuple[unix_queue.Message, ...]
    outside: str
    pending: str

    @property
    def reconnect(self) -> bool:
        """Whether a peer that is outside is to be connected to once more."""
        return self.outside == "reconnect"


def claims(f: FileFacts) -> bool:
    """Any socket of the family, so that a refusal can say why."""
    return S_ISSOCK(f.mode) and socket.number(f.grab(), socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_UNIX


def read(f: FileFacts, dump: DumpSide) -> State:
    """Everything about one socket. :raises Blocker: see the module."""
    fd = f.grab()
    diag = unix_diag.ask(f)
    _refuse(f, diag)
    listening = diag.state == socket.TCP_LISTEN
    queue = () if listening else unix_queue.read(f, diag.type, bool(diag.shutdown & 1), dump.received)
    credentials = _credentials(fd)
    client = diag.type != socket.SOCK_DGRAM and diag.peer == 0
    return State(
        f.ino, diag.peer, diag.type, diag.state, _name(f, diag), socket.name(fd, x86_64.getpeername)[2:],
        diag.peer > 0 and unix_diag.ask(f, diag.peer).peer == f.ino,
        diag.backlog, diag.waiting,
        0 if listening else socket.queued(fd, socket.SIOCOUTQ), _holder(f) if client else (0, 0, 0), diag.shutdown,
        bool(poll.poll_now(fd) & poll.POLLERR),
        credentials, *_maker(dump, credentials),
        _owner(fd),
        sockopt.buffers(fd), sockopt.read(fd, (socket.AF_UNIX, diag.type, 0)), packet_filter.read(f), queue,
        dump.policy("peers"), dump.policy("pending"),
    )  # fmt: skip


def _credentials(fd: int) -> tuple[int, int, int]:
    found = socket.get(fd, socket.SOL_SOCKET, socket.SO_PEERCRED, 12) or bytes(12)
    pid, uid, gid = (int.from_bytes(found[i : i + 4], "little", signed=True) for i in (0, 4, 8))
    return pid, uid, gid


def _owner(fd: int) -> tuple[int, int]:
    st = os.fstat(fd)
    return st.st_uid, st.st_gid


def _holder(f: FileFacts) -> tuple[int, int, int]:
    """What a server will see of a client that it has yet to accept."""
    with open(f"/proc/{f.pid}/status", encoding="utf-8", errors="replace") as file:
        lines = {key: value.split() for key, _, value in (line.partition(":") for line in file)}
    return f.pid, int(lines["Uid"][_EFFECTIVE]), int(lines["Gid"][_EFFECTIVE])


def _maker(dump: DumpSide, credentials: tuple[int, int, int]) -> tuple[tuple[int, int, int], bool]:
    """Who has to stand in for the maker, and whether nobody can: as long as that lives outside of the tree."""
    pid = credentials[0]
    if pid > 0 and (pid in dump.pids() or not os.path.exists(f"/proc/{pid}")):
        return credentials, False
    return (0, 0, 0), pid > 0 and dump.policy("peer-credentials") != "change"


def _refuse(f: FileFacts, diag: Diag) -> None:
    if poll.poll_now(f.grab(), poll.POLLPRI) & poll.POLLPRI:
        raise refuse(f, "out-of-band data is queued in it", "let the program read it")
    if diag.peer and poll.poll_now(f.grab()) & poll.POLLERR:
        raise refuse(f, "an error is pending on it (SO_ERROR)", "let the program read it")


def _name(f: FileFacts, diag: Diag) -> Name:
    """The name, and where its file is if it still stands for this socket."""
    if not unix.is_path(diag.name) or not diag.file[1]:
        return Name(diag.name)
    opened = libc.syscall(x86_64.ioctl, f.grab(), unix.SIOCUNIXFILE, 0)
    try:
        place = os.readlink(f"/proc/self/fd/{opened}").removesuffix(" (deleted)")
        st = os.fstat(opened)
    finally:
        os.close(opened)
    path = os.fsdecode(unix.path(diag.name))
    folder, root = "", ""
    if not path.startswith("/"):
        folder = place.removesuffix("/" + path) or "/"
        if not place.endswith("/" + path):
            raise refuse(f, f"its relative name {path!r} does not fit its place {place!r}", "bind an absolute path")
    elif place.endswith(path):
        root = place.removesuffix(path)
    if st.st_nlink == 0:
        return Name(diag.name, folder, origin=st.st_ino)
    covers = () if _stands(place, st) else _covers(place, st.st_dev)
    kept = Name(diag.name, folder, root, place, covers, st.st_ino, st.st_dev, st.st_mode & 0o7777, st.st_uid, st.st_gid)
    if not (covers or _stands(place, st)) or (covers and bound_path(kept) != place):
        raise refuse(f, f"its file {place} cannot be reached: a mount covers it", "unmount what covers it", "covered")
    return kept


def _covers(place: str, dev: int) -> tuple[str, ...]:
    """The mounts on the way to ``place`` that stand on one of that device, or on each other, uppermost first.

    The mount by which the name was bound may be gone: it was a stand-in's if the socket was restored.
    """
    below, found = set(), []
    for m in procfs.mountinfo(os.getpid()):
        if (place + "/").startswith(m.mountpoint.rstrip("/") + "/"):
            if m.parent_id in below:
                found.append(m.mountpoint)
            if m.parent_id in below or os.makedev(*m.dev) == dev:
                below.add(m.mount_id)
    return tuple(reversed(found))


def _stands(place: str, st: os.stat_result) -> bool:
    try:
        found = os.stat(place, follow_symlinks=False)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (st.st_dev, st.st_ino)


def carries(file: File) -> Iterable[int]:
    """What is in flight through it."""
    return [number for message in _state(file).queue for number in message.files]


def group(file: File) -> object:
    """A pair without names stands for itself; all other sockets of a tree are made together."""
    state = _state(file)
    if not _is_pair(state):
        return ()
    return (min(state.ino, state.peer), max(state.ino, state.peer)) if state.peer else (state.ino,)


def _is_pair(state: State) -> bool:
    """Born as a pair, of which the other end may be closed."""
    together = state.mutual or state.peer == 0
    return together and state.credentials[0] > 0 and not state.name.text and not state.peer_name


def maker(files: Sequence[File]) -> int:
    """Who has called socketpair(2)."""
    state = _state(files[0])
    return state.maker[0] if _is_pair(state) else 0


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def complete(files: Sequence[File]) -> None:
    """:raises Blocker: a socket has lost what it takes to make it again: a peer, or who has sent to it.

    :raises Refused: several have.
    """
    states = [_state(file) for file in files]
    found = []
    for state in states:
        reason = unix_borders.lost(state, states)
        if reason:
            code, why, hint = reason
            link = f"socket:[{state.ino}]"
            found.append(Blocker(f"{link}: {why}", code=code, resource=link, hint=hint))
    if found:
        raise found[0] if len(found) == 1 else Refused("unix sockets cannot be made again", found)


def check(file: File) -> None:
    """:raises Blocker: the path that a socket was bound to is taken by something else, or its directory is gone."""
    name = _state(file).name
    if not name.place or name.covers:
        return
    for path in {name.place, bound_path(name)}:
        if not os.path.isdir(os.path.dirname(path)):
            raise hinder(file, path, "the directory of the socket is gone", "make it again")
    try:
        found = os.stat(name.place, follow_symlinks=False)
    except OSError:
        return
    if not (S_ISSOCK(found.st_mode) and (found.st_dev, found.st_ino) == (name.dev, name.origin)):
        raise hinder(file, name.place, "the path of the socket is taken", "stop what took it, and remove it")


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Names and listeners, and connections."""
    complete(files)
    made = Maker(on, [_state(file) for file in files], restore.stand_in)
    restore.notes[_note(files)] = made
    slots = made.make()
    if maker(files) and on.actor == str(maker(files)):
        unix_fill.raised(made, restore.lowest)
    return slots


def _note(files: Sequence[File]) -> object:
    return "unix", files[0].number


def fill(files: Sequence[File], on: Track, restore: RestoreSide) -> None:
    """Queued data with descriptors in flight, options, shut-down directions, and the end of peers that were closed."""
    made = restore.notes[_note(files)]
    pid = int(made.on.actor) if made.on.actor.isdigit() else 0
    made.resume(on, {_state(file).ino: restore.fd(file.number) for file in files})
    if pid and made.extras:
        unix_fill.fetched(made, pid, on)
    unix_fill.Filler(made, on, restore.fd).fill()


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Everything but numbers of inodes; queued data only if no time has passed."""
    moving = ["queue", "shutdown", "reset", "waiting", "holder"] if elapsed else []
    ignored = ["ino", "peer", "name", "maker", "stranger", "unsent", "outside", "pending", *moving]
    if before.outside == "close":
        ignored += ["mutual", "credentials"]
    if (before.credentials[0] > 0 and before.maker[0] == 0) or before.reconnect:
        ignored.append("credentials")
    yield from compare.fields(before, after, ignored)
    yield from compare.fields(before.name, after.name, ("origin", "dev"))
    if before.outside != "close" and min(before.peer, 1) != min(after.peer, 1):
        yield f"peer: {before.peer} -> {after.peer}"
