from __future__ import annotations

import array
import ctypes
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from facts import World, module_of
from hypothesis import given, settings
from hypothesis import strategies as st

from replant.errors import Blocker, Refused

TYPES = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
NAMED = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET]


def again(world: World, *sockets: socket.socket) -> list[socket.socket]:
    """Saved, closed, made again; and they read like before."""
    files, fds = world.again("unix", *(s.detach() for s in sockets))
    world.unchanged(files, fds)
    for fd in fds:
        assert os.readlink(f"/proc/self/fd/{fd}").startswith("socket:[")
    return [socket.socket(fileno=fd) for fd in fds]


def drain(s: socket.socket) -> list[bytes]:
    found = []
    s.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            found.append(s.recv(1 << 18))
            if not found[-1] and s.type != socket.SOCK_DGRAM:
                break
    return found


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=40)
@given(there=st.lists(st.binary(min_size=1, max_size=3000), max_size=8), back=st.binary(max_size=50))
def test_pairs_with_queued_data(kind: int, there: list[bytes], back: bytes) -> None:
    with World() as world:
        a, b = socket.socketpair(socket.AF_UNIX, kind)
        for message in there:
            a.send(message)
        if back:
            b.send(back)
        a, b = again(world, a, b)
        assert drain(a) == ([back] if back else [])
        got = drain(b)
        assert got == there or (kind == socket.SOCK_STREAM and b"".join(got) == b"".join(there))
        b.setblocking(True)
        a.send(b"and on")
        assert b.recv(100) == b"and on"


def test_reading_for_a_dump_takes_nothing_out(world: World) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for message in (b"one", b"", b"three"):
        a.send(message)
    files = world.read("unix", a.fileno(), b.fileno())
    assert [m.data for m in files[1].state.queue] == [b"one", b"", b"three"]
    assert b.getsockopt(socket.SOL_SOCKET, 42) == -1  # SO_PEEK_OFF
    assert drain(b) == [b"one", b"", b"three"]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_an_empty_message_that_was_looked_at_is_not_lost_in_silence(world: World, kind: int) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    for message in (b"x" * 5000, b"", b"three"):
        a.send(message)
    module_of("unix").complete(world.read("unix", a.fileno(), b.fileno()))
    refused(world, "nobody can see a second time", a, b)
    assert [b.recv(9000) for _ in range(3)] == [b"x" * 5000, b"", b"three"]
    module_of("unix").complete(world.read("unix", a.fileno(), b.fileno()))


def test_a_full_stream(world: World) -> None:
    a, b = socket.socketpair()
    a.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += a.send(b"x" * 777)
    a, b = again(world, a, b)
    assert sum(map(len, drain(b))) == sent


@pytest.mark.parametrize("kind", TYPES)
def test_peer_closed_with_data_left(world: World, kind: int) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.send(b"last words")
    a.close()
    (b,) = again(world, b)
    assert b.recv(100) == b"last words"
    if kind != socket.SOCK_DGRAM:
        assert b.recv(100) == b""
    with pytest.raises((BrokenPipeError, ConnectionRefusedError, ConnectionResetError)):
        b.send(b"x")


def test_peer_closed_without_reading_is_a_reset(world: World) -> None:
    a, b = socket.socketpair()
    a.send(b"never read")
    b.close()
    (a,) = again(world, a)
    with pytest.raises(ConnectionResetError):
        a.recv(100)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_shut_down_directions(world: World, kind: int, how: int) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.send(b"before")
    a.shutdown(how)
    a, b = again(world, a, b)
    assert b.recv(100) == b"before"
    if how != socket.SHUT_RD:
        with pytest.raises(BrokenPipeError):
            a.send(b"x")


@pytest.mark.parametrize("kind", TYPES)
def test_neither_bound_nor_connected(world: World, kind: int) -> None:
    (s,) = again(world, socket.socket(socket.AF_UNIX, kind))
    s.bind("")
    assert len(s.getsockname()) == 6


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("abstract", [False, True])
def test_listener_and_its_connections(world: World, tmp_path: Path, kind: int, abstract: bool) -> None:
    path = tmp_path / "socket"
    name = f"\0{path}" if abstract else str(path)
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(name)
    listener.listen(7)
    if not abstract:
        os.chmod(path, 0o4711)
        os.chown(path, 1000, 1001)
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect(name)
    server, _ = listener.accept()
    client.send(b"question")
    server.send(b"answer")
    mode = None if abstract else os.stat(path).st_mode
    listener, client, server = again(world, listener, client, server)
    assert [server.recv(100), client.recv(100)] == [b"question", b"answer"]
    assert client.getpeername() == server.getsockname() == (name.encode() if abstract else name)
    if not abstract:
        st = os.stat(path)
        assert (st.st_mode, st.st_uid, st.st_gid) == (mode, 1000, 1001)
    new = socket.socket(socket.AF_UNIX, kind)
    new.connect(name)
    listener.accept()[0].send(b"welcome")
    assert new.recv(100) == b"welcome"


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("abstract", [False, True])
def test_connections_of_a_listener_that_is_gone(world: World, tmp_path: Path, left: bool, abstract: bool) -> None:
    path = tmp_path / "socket"
    name = f"\0{path}" if abstract else str(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        clients = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        servers = []
        for client in clients:
            client.connect(name)
            servers.append(listener.accept()[0])
    if not left and not abstract:
        path.unlink()
    clients[0].send(b"hello")
    before = sorted(os.listdir(tmp_path))
    everyone = again(world, *clients, *servers)
    assert everyone[2].recv(10) == b"hello"
    assert sorted(os.listdir(tmp_path)) == before
    everyone[3].close()
    assert everyone[1].recv(10) == b""


def test_a_relative_name(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("sub/socket")
    listener.listen()
    monkeypatch.chdir("/")
    (listener,) = again(world, listener)
    assert os.getcwd() == "/"
    assert listener.getsockname() == "sub/socket"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "sub/socket"))


@pytest.mark.parametrize("kind", TYPES)
def test_bound_and_its_path_removed(world: World, tmp_path: Path, kind: int) -> None:
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(str(tmp_path / "socket"))
    (tmp_path / "socket").unlink()
    (s,) = again(world, s)
    assert s.getsockname() == str(tmp_path / "socket")
    assert os.listdir(tmp_path) == []


def test_bound_datagrams_with_senders(world: World, tmp_path: Path) -> None:
    receiver, named, one_way, nameless = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(4))
    receiver.bind(str(tmp_path / "r"))
    named.bind(f"\0{tmp_path}/n")
    one_way.bind(str(tmp_path / "o"))
    one_way.connect(str(tmp_path / "r"))
    named.sendto(b"from named", str(tmp_path / "r"))
    nameless.sendto(b"from nameless", str(tmp_path / "r"))
    one_way.send(b"from one way")
    receiver, named, one_way, nameless = again(world, receiver, named, one_way, nameless)
    assert [receiver.recvfrom(100) for _ in range(3)] == [
        (b"from named", f"\0{tmp_path}/n".encode()),
        (b"from nameless", None),
        (b"from one way", str(tmp_path / "o")),
    ]
    one_way.send(b"again")
    assert receiver.recv(100) == b"again"


def test_datagrams_of_a_sender_that_is_gone(world: World, tmp_path: Path) -> None:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "r"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.bind(f"\0{tmp_path}/s")
        sender.sendto(b"bye", str(tmp_path / "r"))
    (receiver,) = again(world, receiver)
    assert receiver.recvfrom(100) == (b"bye", f"\0{tmp_path}/s".encode())


def test_options_and_buffers(world: World) -> None:
    a, b = socket.socketpair()
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 3)
    b.settimeout(None)
    b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 5)
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, b"\x02" + bytes(7) + b"\x88\x13" + bytes(6))
    usual = b.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    a, b = again(world, a, b)
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100_000
    assert b.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == usual
    assert b.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED) == 1
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 3


def test_names_that_were_given_to_a_pair(world: World, tmp_path: Path) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.bind(str(tmp_path / "a"))
    b.bind(f"\0{tmp_path}/b")
    a.send(b"hello")
    a, b = again(world, a, b)
    assert b.recvfrom(10) == (b"hello", str(tmp_path / "a"))


# what is refused


def refused(world: World, words: str, *sockets: socket.socket) -> None:
    try:
        module_of("unix").complete(world.read("unix", *(s.fileno() for s in sockets)))
    except (Blocker, Refused) as found:  # it is let go of at once, with the frames that hold the sockets
        said = str(getattr(found, "blockers", [found])[0])
    assert words in said


def test_a_peer_outside(world: World) -> None:
    a, b = socket.socketpair()
    refused(world, "outside", a)
    assert b.send(b"unharmed") and a.recv(10) == b"unharmed"


def test_descriptors_in_flight(world: World) -> None:
    a, b = socket.socketpair()
    a.send(b"before")
    socket.send_fds(a, [b"with it"], [a.fileno()])
    a.send(b"after")
    a, b = again(world, a, b)
    assert b.recv(5) == b"befor"
    data, (fd,), _, _ = socket.recv_fds(b, 100, 1)
    with socket.socket(fileno=fd) as copy:
        copy.send(b" and more")
    assert data + b.recv(100) == b"ewith itafter and more"


def test_connections_that_wait(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client.connect(str(tmp_path / "s"))
        refused(world, "waits to be accepted", listener)
        listener.accept()[0].close()


def test_queued_credentials(world: World) -> None:
    a, b = socket.socketpair()
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    a.send(b"x")
    a.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    b.send(b"y")
    a.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    a, b = again(world, a, b)
    for s in (a, b):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ((_, _, found),) = s.recvmsg(1, 100)[1]
        assert struct.unpack("3i", found) == (os.getpid(), 0, 0)


def test_out_of_band_data(world: World) -> None:
    a, b = socket.socketpair()
    a.send(b"x", socket.MSG_OOB)
    refused(world, "out-of-band", b, a)


def test_a_peek_offset(world: World) -> None:
    a, b = socket.socketpair()
    b.send(b"hello")
    a.setsockopt(socket.SOL_SOCKET, 42, 2)
    a, b = again(world, a, b)
    assert [a.recv(2, socket.MSG_PEEK) for _ in range(2)] == [b"ll", b"o"]


def test_a_packet_filter(world: World) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    accept_all = array.array("H", [6, 0, 0xFFFF, 0])
    address, _ = accept_all.buffer_info()
    a.setsockopt(socket.SOL_SOCKET, 26, (1).to_bytes(8, "little") + address.to_bytes(8, "little"))
    a.setsockopt(socket.SOL_SOCKET, 44, 1)  # SO_LOCK_FILTER
    a, b = again(world, a, b)
    with pytest.raises(PermissionError):
        a.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER


def test_another_network_namespace(world: World) -> None:
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None)
    if libc.unshare(0x40000000):
        pytest.skip("may not make a network namespace")
    a, b = socket.socketpair()
    libc.setns(home, 0)
    os.close(home)
    refused(world, "network namespace", a, b)


def test_a_path_taken_at_restore(world: World, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "s"))
        files = world.read("unix", s.fileno())
    (tmp_path / "s").unlink()
    (tmp_path / "s").touch()
    with pytest.raises(Blocker, match="taken"):
        world.make(files)


def test_one_way_to_a_socket_without_a_name(world: World) -> None:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as c:
        c.bind("")
        b.connect(c.getsockname())
        name = c.getsockname()
        a, b, c = again(world, a, b, c)
        assert b.getpeername() == name
        with pytest.raises(PermissionError):
            a.send(b"x")  # b listens to c alone
        b.send(b"to c")
        assert c.recv(10) == b"to c"


# who the peer was


def credentials(s: socket.socket) -> tuple[int, ...]:
    return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))


def elsewhere(uid: int, act: Callable[[], None]) -> int:
    """Let a child that ends afterwards do something as another user; its pid."""
    pid = os.fork()
    if pid == 0:
        os.setresgid(-1, uid + 1, -1)
        os.setresuid(-1, uid, -1)
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    return pid


def test_a_pair_remembers_who_made_it(world: World) -> None:
    out, back = socket.socketpair()

    def act() -> None:
        a, b = socket.socketpair()
        a.send(b"hello")
        socket.send_fds(back, [b"x"], [a.fileno(), b.fileno()])

    pid = elsewhere(1000, act)
    a, b = (socket.socket(fileno=fd) for fd in socket.recv_fds(out, 1, 2)[1])
    assert credentials(a) == (pid, 1000, 1001)
    a, b = again(world, a, b)
    assert credentials(a) == credentials(b) == (pid, 1000, 1001)
    assert b.recv(10) == b"hello"


def test_a_server_remembers_its_client_and_the_client_its_server(world: World, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o711)
    path = str(tmp_path / "s")
    listener, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)
    one = elsewhere(1000, listener.listen)
    for folder in tmp_path.parents:
        if folder.name.startswith(("pytest-", "popen-")):
            os.chmod(folder, 0o711)
    two = elsewhere(2000, lambda: client.connect(path))
    server, _ = listener.accept()
    expected = [(one, 1000, 1001), (one, 1000, 1001), (two, 2000, 2001)]
    assert [credentials(s) for s in (listener, client, server)] == expected
    everyone = again(world, listener, client, server)
    assert [credentials(s) for s in everyone] == expected


def test_a_maker_that_lives_outside_is_refused_unless_told(world: World) -> None:
    out, back = socket.socketpair()
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            a, b = socket.socketpair()
            socket.send_fds(back, [b"x"], [a.fileno(), b.fileno()])
            os.close(go)
            os.read(ready, 1)
        finally:
            os._exit(0)
    os.close(ready)
    a, b = (socket.socket(fileno=fd) for fd in socket.recv_fds(out, 1, 2)[1])
    refused(world, f"process {pid}", a, b)
    world.choices["peer-credentials"] = "change"
    a, b = again(world, a, b)
    assert credentials(a)[0] == os.getpid()
    os.close(go)
    os.waitpid(pid, 0)


def test_datagram_sockets_connected_to_each_other_remember_nobody(world: World, tmp_path: Path) -> None:
    a, b = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    a.bind(str(tmp_path / "a"))
    b.bind(str(tmp_path / "b"))
    a.connect(str(tmp_path / "b"))
    b.connect(str(tmp_path / "a"))
    a.send(b"hello")
    a, b = again(world, a, b)
    assert credentials(a) == (0, -1, -1)
    assert b.recv(10) == b"hello"


def test_a_pair_that_we_made_as_another_user(world: World) -> None:
    os.setresgid(-1, 3001, -1)
    os.setresuid(-1, 3000, -1)
    try:
        a, b = socket.socketpair()
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)
    a, b = again(world, a, b)
    assert credentials(a) == (os.getpid(), 3000, 3001)
    assert (os.geteuid(), os.getegid()) == (0, 0)
