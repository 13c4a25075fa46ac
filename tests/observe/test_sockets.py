"""sock_diag against the sockets themselves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from replant.observe.sockets import Diag


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_tcp_with_its_options_and_queues() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(7)
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted, Diag() as diag:
                client.send(b"12345")
                client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x10)
                found = {s.inode: s for s in diag.inet()}
                a, b, listening = found[inode(client)], found[inode(accepted)], found[inode(listener)]
                assert (a.source, a.target) == (client.getsockname(), client.getpeername()) == (b.target, b.source)
                assert (listening.state, listening.wqueue) == (10, 7) and a.state == b.state == 1
                assert b.rqueue == 5 and a.tos == 0x10 and a.tcp and b.tcp
                assert a.tcp.snd_mss == client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
                assert a.tcp.snd_wscale == b.tcp.rcv_wscale
                congestion = client.getsockopt(socket.IPPROTO_TCP, 13, 16).rstrip(b"\0").decode()
                assert a.congestion == congestion
                assert a.memory and a.memory.sndbuf == client.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
                assert a.uid == os.geteuid()


def test_udp_of_both_families() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six, socket.socket(type=socket.SOCK_DGRAM) as four:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::1", 0))
        four.bind(("127.0.0.1", 0))
        with Diag() as diag:
            found = {s.inode: s for s in diag.inet()}
        assert found[inode(six)].source == six.getsockname()[:2] and found[inode(six)].v6only
        assert found[inode(four)].source == four.getsockname() and found[inode(four)].v6only is None


def test_unix_peers_names_and_those_who_wait(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "s")
    left, right = socket.socketpair()
    with (
        left,
        right,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as waiting,
        Diag() as diag,
    ):
        listener.bind(path)
        listener.listen(3)
        waiting.connect(path)
        right.send(b"xyz")
        right.shutdown(socket.SHUT_WR)
        found = {s.inode: s for s in diag.unix()}
        a, b, listening = found[inode(left)], found[inode(right)], found[inode(listener)]
        assert (a.peer, b.peer) == (b.inode, a.inode) and a.type == socket.SOCK_STREAM
        assert b.shutdown == 2 and a.shutdown == 1
        assert listening.name == path.encode() + b"\0" and listening.file and listening.file[1] == os.stat(path).st_ino
        assert (listening.rqueue, listening.wqueue) == (1, 3) and len(listening.pending) == 1
        assert a.rqueue == 3


def test_netlink_and_packet() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route, Diag() as diag:
        route.bind((0, 1))
        [found] = [s for s in diag.netlink() if s.inode == inode(route)]
        assert (found.portid, found.groups) == route.getsockname()


def test_another_network_namespace() -> None:
    code = (
        "import ctypes, socket; assert not ctypes.CDLL(None).unshare(0x40000000);"
        "s = socket.socket(type=2); s.bind(('', 4321)); print('ready', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1) as child:
        assert child.stdout
        if child.stdout.readline() != b"ready\n":
            pytest.skip("no right to make a network namespace")
        namespace = os.open(f"/proc/{child.pid}/ns/net", os.O_RDONLY)
        own = os.readlink("/proc/thread-self/ns/net")
        try:
            with Diag(namespace) as diag:
                assert [s.source for s in diag.inet()] == [("0.0.0.0", 4321)]
            assert os.readlink("/proc/thread-self/ns/net") == own
        finally:
            os.close(namespace)
            child.kill()
