"""Episodes of unix sockets: how they are bound and connected, and what is queued in them and in flight."""

from __future__ import annotations

import array
import os
import select
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import episodes
import pytest

STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
SO_PEEK_OFF, SO_PASSPIDFD = 42, 76


def new(kind: int = STREAM, name: object = "", listening: bool = False) -> socket.socket:
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(60)
    if name:
        s.bind(str(name))
    if listening:
        s.listen(5)
    return s


def pair(kind: int = STREAM) -> tuple[socket.socket, socket.socket]:
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.settimeout(60)
    b.settimeout(60)
    return a, b


def connected(kind: int, name: object) -> tuple[socket.socket, socket.socket, socket.socket]:
    listener, client = new(kind, name, listening=True), new(kind)
    client.connect(str(name))
    server = listener.accept()[0]
    server.settimeout(60)
    return listener, client, server


def talk(a: socket.socket, b: socket.socket) -> None:
    a.send(b"there")
    assert b.recv(10) == b"there"
    b.send(b"back")
    assert a.recv(10) == b"back"


def reaches(kind: int, name: object, listener: socket.socket) -> None:
    with new(kind) as client:
        client.connect(str(name))
        listener.accept()[0].close()


def empty(s: socket.socket) -> bool:
    return not select.select([s], [], [], 0)[0]


def credentials(s: socket.socket) -> tuple[int, ...]:
    return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))


def pairs_and_connections(here: Path) -> Iterator[None]:
    pairs = [pair(kind) for kind in (STREAM, DGRAM, SEQPACKET)]
    served = {kind: connected(kind, here / str(kind)) for kind in (STREAM, SEQPACKET)}
    os.chown(here / str(STREAM), 1000, 1001)
    os.fchown(pairs[0][0].fileno(), 1002, 1003)
    os.chmod(here / str(STREAM), 0o4713)
    yield
    st = os.stat(here / str(STREAM))
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o4713, 1000, 1001)
    owned = os.fstat(pairs[0][0].fileno())
    assert (owned.st_uid, owned.st_gid) == (1002, 1003)
    for a, b in pairs:
        talk(a, b)
    for kind, (listener, client, server) in served.items():
        talk(client, server)
        reaches(kind, here / str(kind), listener)


def datagrams_of_every_shape(here: Path) -> Iterator[None]:
    path, abstract, automatic, one_way, left, right = (new(DGRAM) for _ in range(6))
    path.bind(str(here / "path"))
    abstract.bind(f"\0{here}/abstract")
    automatic.bind("")
    name = automatic.getsockname()
    one_way.connect(str(here / "path"))
    for s, own, other in ((left, "left", "right"), (right, "right", "left")):
        s.bind(str(here / own))
        if own == "right":
            left.connect(str(here / other if other == "right" else here / "right"))
            right.connect(str(here / "left"))
    alone = [new(kind) for kind in (STREAM, DGRAM, SEQPACKET)]
    bound = [new(kind, here / f"bound{kind}") for kind in (STREAM, DGRAM, SEQPACKET)]
    yield
    one_way.send(b"x")
    assert path.recvfrom(10) == (b"x", None)
    with new(DGRAM, here / "stranger") as stranger:
        for target in (str(here / "path"), f"\0{here}/abstract", name):
            stranger.sendto(b"y", target)
        assert [s.recv(10) for s in (path, abstract, automatic)] == [b"y"] * 3
        with pytest.raises(PermissionError):
            stranger.sendto(b"y", str(here / "left"))
    talk(left, right)
    assert automatic.getsockname() == name
    for s in alone:
        s.bind("")
    for s, kind in zip(bound, (STREAM, DGRAM, SEQPACKET), strict=True):
        assert s.getsockname() == str(here / f"bound{kind}")
        if kind != DGRAM:
            s.listen()
            reaches(kind, here / f"bound{kind}", s)


def relative_names(here: Path) -> Iterator[None]:
    kept = os.getcwd()
    (here / "sub").mkdir()
    os.chdir(here)
    listener, client, server = connected(STREAM, "sub/listening")
    receiver, sender = new(DGRAM, "receiving"), new(DGRAM)
    sender.connect("receiving")
    sender.send(b"queued")
    os.chdir(kept)
    yield
    assert os.getcwd() == kept
    assert [listener.getsockname(), client.getpeername()] == ["sub/listening"] * 2
    talk(client, server)
    reaches(STREAM, here / "sub/listening", listener)
    assert receiver.recv(10) == b"queued"
    sender.send(b"more")
    assert receiver.recv(10) == b"more"
    assert receiver.getsockname() == "receiving"


def removed_names(here: Path) -> Iterator[None]:
    (here / "gone").mkdir()
    os.chdir(here)
    served = {kind: connected(kind, here / "gone" / str(kind)) for kind in (STREAM, SEQPACKET)}
    relative = connected(STREAM, "gone/relative")
    listening = [new(STREAM, here / "gone" / "listening", listening=True), new(STREAM, here / "gone" / "bound")]
    receiver, sender = new(DGRAM, here / "gone" / "receiver"), new(DGRAM, here / "gone" / "sender")
    sender.connect(str(here / "gone" / "receiver"))
    sender.send(b"queued")
    os.chdir(here.parent)
    shutil.rmtree(here / "gone")
    yield
    assert not (here / "gone").exists()
    for kind, (listener, client, server) in served.items():
        talk(client, server)
        assert listener.getsockname() == client.getpeername() == str(here / "gone" / str(kind))
    talk(*relative[1:])
    assert relative[0].getsockname() == "gone/relative"
    assert [s.getsockname() for s in listening] == [str(here / "gone" / n) for n in ("listening", "bound")]
    assert receiver.recvfrom(10) == (b"queued", str(here / "gone" / "sender"))
    sender.send(b"more")
    assert receiver.recv(10) == b"more"


def one_name_twice(here: Path) -> Iterator[None]:
    """A server that is started again while connections of the old one go on."""
    old = connected(STREAM, here / "name")
    (here / "name").unlink()
    now = connected(STREAM, here / "name")
    receivers = [new(DGRAM, here / "dgram")]
    senders = [new(DGRAM)]
    senders[0].connect(str(here / "dgram"))
    (here / "dgram").unlink()
    receivers.append(new(DGRAM, here / "dgram"))
    senders.append(new(DGRAM))
    senders[1].connect(str(here / "dgram"))
    yield
    talk(*old[1:])
    talk(*now[1:])
    reaches(STREAM, here / "name", now[0])
    assert empty(old[0])
    for number, (sender, receiver) in enumerate(zip(senders, receivers, strict=True)):
        sender.send(b"%d" % number)
        assert receiver.recv(10) == b"%d" % number


def renamed_names(here: Path) -> Iterator[None]:
    listener, client, server = connected(STREAM, here / "new~")
    os.rename(here / "new~", here / "public")
    other = new(STREAM, here / "new~", listening=True)
    yield
    talk(client, server)
    reaches(STREAM, here / "public", listener)
    reaches(STREAM, here / "new~", other)
    assert listener.getsockname() == str(here / "new~")


def covered_names(here: Path) -> Iterator[None]:
    """In directories over which something was mounted since, twice over one of them."""
    listening = []
    for number in range(3):
        folder = here / str(number)
        folder.mkdir()
        listening.append((folder, *connected(STREAM, folder / "name")))
        os.chmod(folder / "name", 0o612)
        if number:
            for _ in range(number):
                assert os.system(f"mount -t tmpfs none {folder}") == 0
    yield
    for number, (folder, listener, client, server) in enumerate(listening):
        talk(client, server)
        for _ in range(number):
            assert not (folder / "name").exists()
            assert os.system(f"umount {folder}") == 0
        assert (folder / "name").stat().st_mode & 0o777 == 0o612
        reaches(STREAM, folder / "name", listener)


def messages_with_senders(here: Path) -> Iterator[None]:
    receiver, path, abstract, nameless = new(DGRAM, here / "r"), new(DGRAM, here / "p"), new(DGRAM), new(DGRAM)
    abstract.bind(f"\0{here}/a")
    for number, s in enumerate((path, abstract, nameless, path)):
        s.sendto(b"%d" % number, str(here / "r"))
    late = new(DGRAM, here / "late")
    path.sendto(b"before it was connected", str(here / "late"))
    late.connect(str(here / "r"))
    a, b = pair(SEQPACKET)
    for text in (b"one", b"second", b"3"):
        a.send(text)
    c, d = pair(DGRAM)
    for text in (b"one", b"", b"three"):
        c.send(text)
    e, f = pair()
    e.sendall(b"x" * 100_000)
    yield
    names = [str(here / "p"), f"\0{here}/a".encode(), None, str(here / "p")]
    assert [receiver.recvfrom(10) for _ in names] == [(b"%d" % n, name) for n, name in enumerate(names)]
    assert late.recvfrom(100) == (b"before it was connected", str(here / "p"))
    late.send(b"z")
    assert receiver.recvfrom(10) == (b"z", str(here / "late"))
    assert [b.recv(10) for _ in range(3)] == [b"one", b"second", b"3"]
    assert [d.recv(10) for _ in range(3)] == [b"one", b"", b"three"]
    left = 100_000
    while left:
        left -= len(f.recv(left))
    assert all(map(empty, (receiver, late, b, d, f)))


def senders_that_are_gone(here: Path) -> Iterator[None]:
    receiver = new(DGRAM, here / "r")
    for name in (here / "s", f"\0{here}/s", ""):
        with new(DGRAM, name) as sender:
            sender.sendto(b"bye", str(here / "r"))
    ends = []
    for kind in (STREAM, DGRAM, SEQPACKET):
        a, b = pair(kind)
        a.send(b"last words")
        a.close()
        ends.append(b)
    served = connected(STREAM, here / "l")
    served[1].send(b"last words")
    served[1].close()
    orphan = connected(STREAM, here / "o")
    orphan[2].send(b"from a server that is gone")
    orphan[2].close()
    orphan[0].close()
    closed = new(DGRAM, here / "closed")
    to_closed = new(DGRAM)
    to_closed.connect(str(here / "closed"))
    closed.close()
    yield
    senders = [receiver.recvfrom(10) for _ in range(3)]
    assert senders == [(b"bye", str(here / "s")), (b"bye", f"\0{here}/s".encode()), (b"bye", None)], senders
    for b in ends:
        assert b.recv(100) == b"last words"
        if b.type != DGRAM:
            assert b.recv(100) == b""
    assert served[2].recv(100) == b"last words" and served[2].recv(1) == b""
    reaches(STREAM, here / "l", served[0])
    assert orphan[1].recv(100) == b"from a server that is gone" and orphan[1].recv(1) == b""
    assert orphan[1].getpeername() == str(here / "o")
    assert to_closed.getpeername() == str(here / "closed")
    assert credentials(to_closed) == (0, -1, -1)
    with pytest.raises(ConnectionRefusedError):
        to_closed.send(b"x")
    with new(DGRAM) as sender:
        sender.sendto(b"new", str(here / "r"))
    assert receiver.recv(10) == b"new"


def shut_down_directions(here: Path) -> Iterator[None]:
    shut = [(kind, how, *pair(kind)) for kind in (STREAM, DGRAM, SEQPACKET) for how in range(3)]
    for _, how, a, b in shut:
        a.send(b"to b")
        b.send(b"to a")
        a.shutdown(how)
    unequal, other = pair()
    unequal.send(b"left")
    unequal.shutdown(socket.SHUT_WR)
    other.shutdown(socket.SHUT_RD)
    yield
    for kind, how, a, b in shut:
        assert b.recv(10) == b"to b", (kind, how)
        if how != socket.SHUT_RD:
            with pytest.raises(BrokenPipeError):
                a.send(b"x")
            if kind != DGRAM:
                assert b.recv(10) == b""
        if how != socket.SHUT_WR and kind != DGRAM:
            assert a.recv(10) == b"to a"
            assert a.recv(10) == b""
            with pytest.raises(BrokenPipeError):
                b.send(b"x")
    assert other.recv(10) == b"left" and other.recv(10) == b""


def connections_that_wait(here: Path) -> Iterator[None]:
    waits = []
    for kind, name in ((STREAM, here / "s"), (SEQPACKET, here / "q"), (STREAM, f"\0{here}/a")):
        listener = new(kind, name, listening=True)
        clients = [new(kind) for _ in range(4)]
        for number, client in enumerate(clients):
            if number:
                client.bind(f"\0{name}/{number}")
            client.connect(str(name))
        clients[2].shutdown(socket.SHUT_WR)
        first = listener.accept()[0]
        waits.append((listener, clients, first))
    yield
    for listener, clients, first in waits:
        talk(clients[0], first)
        for number in (1, 2, 3):
            server, name = listener.accept()
            assert name == clients[number].getsockname(), (name, number)
            server.send(b"%d" % number)
            assert clients[number].recv(10) == b"%d" % number
            assert credentials(server)[0] == os.getpid()
            if number == 2:
                assert server.recv(10) == b""
        with new(listener.type) as client:
            client.connect(listener.getsockname())
            listener.accept()[0].close()


def descriptors_in_flight(here: Path) -> Iterator[None]:
    ends = []
    for kind in (STREAM, DGRAM, SEQPACKET):
        a, b = pair(kind)
        kept, kept_writer = os.pipe()
        only, only_writer = os.pipe()
        file = os.open(here / f"file{kind}", os.O_RDWR | os.O_CREAT)
        os.write(file, b"0123456789")
        os.lseek(file, 3, os.SEEK_SET)
        a.send(b"before")
        socket.send_fds(a, [b"two"], [kept, file])
        a.send(b"between")
        socket.send_fds(a, [b"one"], [only])
        a.send(b"after")
        os.close(only)
        os.close(file)
        ends.append((a, b, kept, kept_writer, only_writer))
    a, b = pair(DGRAM)
    inside = os.pipe()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd])) for fd in (*inside, inside[0])]
    a.sendmsg([b"several headers"], rights[:2] + rights[2:])
    gone, left = pair()
    socket.send_fds(gone, [b"x"], list(inside))
    gone.close()
    yield
    for _, b_, kept, kept_writer, only_writer in ends:
        kind = b_.type
        assert b_.recv(6) == b"before"
        data, (copy, file), *_ = socket.recv_fds(b_, 3, 2)
        assert data == b"two"
        os.write(kept_writer, b"ab")
        assert os.read(copy, 1) + os.read(kept, 1) == b"ab"
        assert os.read(file, 2) == b"34" and os.path.samestat(os.fstat(file), os.stat(here / f"file{kind}"))
        assert b_.recv(7) == b"between"
        data, (only,), *_ = socket.recv_fds(b_, 3, 2)
        assert data == b"one"
        os.write(only_writer, b"alone")
        assert os.read(only, 10) == b"alone"
        assert b_.recv(100) == b"after"
        for fd in (copy, file, only, kept, kept_writer, only_writer):
            os.close(fd)
    data, fds, *_ = socket.recv_fds(b, 100, 5)
    assert data == b"several headers"
    os.write(fds[1], b"!")
    assert os.read(fds[0], 1) == b"!" and os.path.sameopenfile(fds[0], fds[2])
    data, more, *_ = socket.recv_fds(left, 100, 5)
    os.write(more[1], b"?")
    assert data == b"x" and os.read(inside[0], 1) == b"?" and left.recv(1) == b""
    for fd in (*fds, *more, *inside):
        os.close(fd)


def sockets_in_flight_in_a_ring(here: Path) -> Iterator[None]:
    a, b = pair()
    socket.send_fds(a, [b"a through a"], [a.fileno()])
    socket.send_fds(b, [b"b through b"], [b.fileno()])
    c, d = pair(DGRAM)
    e, f = pair(DGRAM)
    socket.send_fds(c, [b"f"], [f.fileno()])
    socket.send_fds(e, [b"d"], [d.fileno()])
    d.close()
    g, h = pair()
    socket.send_fds(g, [b"nested"], [h.fileno(), e.fileno()])
    outer, inner = pair()
    socket.send_fds(outer, [b"deep"], [h.fileno()])
    h.close()
    yield
    data, (fd,), *_ = socket.recv_fds(b, 100, 1)
    with socket.socket(fileno=fd) as copy:
        assert data == b"a through a"
        copy.send(b"!")
        assert b.recv(1) == b"!"
    data, (fd,), *_ = socket.recv_fds(a, 100, 1)
    assert data == b"b through b" and os.path.sameopenfile(fd, b.fileno())
    os.close(fd)
    data, (fd,), *_ = socket.recv_fds(inner, 100, 1)
    with socket.socket(fileno=fd) as h_:
        data, fds, *_ = socket.recv_fds(h_, 100, 2)
        assert data == b"nested" and os.path.sameopenfile(fds[1], e.fileno())
        assert os.fstat(fds[0]).st_ino == os.fstat(h_.fileno()).st_ino
        talk(g, h_)
        for fd in fds:
            os.close(fd)
    data, (fd,), *_ = socket.recv_fds(f, 100, 1)
    with socket.socket(fileno=fd) as d:
        assert data == b"d"
        data, (fd,), *_ = socket.recv_fds(d, 100, 1)
        assert data == b"f" and os.path.sameopenfile(fd, f.fileno())
        os.close(fd)


def poll_sets_in_flight(here: Path) -> Iterator[None]:
    a, b = pair()
    watching, closed, unheld = select.epoll(), select.epoll(), select.epoll()
    watching.register(b, select.EPOLLIN)
    closed.register(b, select.EPOLLIN)
    unheld.register(a, select.EPOLLOUT)
    socket.send_fds(a, [b"x"], [watching.fileno(), closed.fileno(), unheld.fileno()])
    closed.close()
    unheld.close()
    yield
    assert watching.poll(0) == [(b.fileno(), select.EPOLLIN)]
    data, fds, *_ = socket.recv_fds(b, 100, 3)
    assert data == b"x" and os.path.sameopenfile(fds[0], watching.fileno())
    closed, unheld = select.epoll.fromfd(fds[1]), select.epoll.fromfd(fds[2])
    os.close(fds[0])
    assert closed.poll(0) == [] and unheld.poll(0) == [(a.fileno(), select.EPOLLOUT)]
    a.send(b"y")
    assert closed.poll(0) == [(b.fileno(), select.EPOLLIN)]


def credentials_of_peers(here: Path) -> Iterator[None]:
    a, b = pair()
    listener, client, server = connected(STREAM, here / "s")
    out, back = pair()

    def dies() -> None:
        os.setresgid(-1, 2001, -1)
        os.setresuid(-1, 2000, -1)
        ends = pair()
        joined = new()
        joined.connect(f"\0{here}/dead")
        socket.send_fds(back, [b"x"], [s.fileno() for s in (*ends, joined)])

    dead_listener = new(STREAM, f"\0{here}/dead", listening=True)
    dead = episodes.child(dies)
    fds = socket.recv_fds(out, 1, 3)[1]
    left, right, joined = (socket.socket(fileno=fd) for fd in fds)
    accepted = dead_listener.accept()[0]
    episodes.end(dead)
    yield
    own = (os.getpid(), 0, 0)
    assert [credentials(s) for s in (a, b, listener, client, server)] == [own] * 5
    assert [credentials(s) for s in (left, right, accepted)] == [(dead, 2000, 2001)] * 3
    assert credentials(joined) == own
    talk(left, right)
    talk(joined, accepted)


def credentials_in_messages(here: Path) -> Iterator[None]:
    a, b = pair(DGRAM)
    c, d = pair()
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    d.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    c.send(b"own")

    def sends() -> None:
        os.setresgid(2001, 2001, 2001)
        os.setresuid(2000, 2000, 2000)
        a.send(b"x")
        c.send(b"theirs")

    dead = episodes.child(sends)
    episodes.end(dead)
    living = episodes.child(lambda: str(a.send(b"y")))
    a.send(b"z")
    c.send(b"own again")
    yield
    expected = [(b"x", dead, 2000, 2001), (b"y", living, 0, 0), (b"z", os.getpid(), 0, 0)]
    own = os.getpid(), 0, 0
    stream = [(b"own", *own), (b"theirs", dead, 2000, 2001), (b"own again", *own)]
    assert [_with_credentials(b) for _ in expected] == expected
    assert [_with_credentials(d) for _ in stream] == stream
    episodes.end(living)


def _with_credentials(s: socket.socket) -> tuple[bytes, int, int, int]:
    data, control, *_ = s.recvmsg(100, 100)
    ((_, kind, value),) = control
    assert kind == socket.SCM_CREDENTIALS
    return (data, *struct.unpack("3i", value))


def pidfds_in_messages(here: Path) -> Iterator[None]:
    a, b = pair(DGRAM)
    b.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
    living = episodes.child(lambda: str(a.send(b"x")))
    yield
    data, control, *_ = b.recvmsg(100, 100)
    ((_, kind, value),) = control
    assert (data, kind) == (b"x", 4)  # SCM_PIDFD
    (pidfd,) = struct.unpack("i", value)
    assert f"Pid:\t{living}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    assert not select.select([pidfd], [], [], 0)[0], "the process is alive"
    episodes.end(living)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)


def peek_offsets(here: Path) -> Iterator[None]:
    a, b = pair()
    a.send(b"0123456789")
    b.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 4)
    yield
    assert [b.recv(2, socket.MSG_PEEK) for _ in range(2)] == [b"45", b"67"]
    assert b.recv(10) == b"0123456789"


def full_queues(here: Path) -> Iterator[None]:
    pairs = []
    for kind in (STREAM, DGRAM, SEQPACKET):
        a, b = pair(kind)
        a.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while True:
                sent += a.send(b"x" * 777)
        pairs.append((a, b, sent))
    yield
    for a, b, sent in pairs:
        if a.type != STREAM:  # there the kernel counts by buffers, and fewer hold the same bytes
            with pytest.raises(BlockingIOError):
                a.send(b"x" * 777)
        b.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sent -= len(b.recv(1 << 20))
        assert sent == 0
        a.send(b"y")
        assert b.recv(10) == b"y"


if __name__ == "__main__":
    episodes.serve(episodes.all_of(globals()))
