"""What waits in the kernel, read without taking it out."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading

import pytest

from replant.observe import procfs
from replant.observe.observer import Observer

ME = os.getpid()


def test_epoll_sets_with_the_descriptions_behind(bpf: Observer) -> None:
    left, right = socket.socketpair()
    with left, right, select.epoll() as epoll, select.epoll() as empty:
        other = os.dup(left.fileno())
        for fd, events in (
            (left.fileno(), select.EPOLLIN),
            (right.fileno(), select.EPOLLOUT | select.EPOLLET),
            (other, 1),
        ):
            epoll.register(fd, events)
        os.close(other)
        queues = bpf.queues([ME])
        assert queues
        found = [t for t in queues.epoll() if t.epfd == epoll.fileno()]
        lines = [line for line in procfs.fdinfo(ME, epoll.fileno()).rest if line.startswith("tfd:")]
        told = sorted((int(w[1]), int(w[3], 16), int(w[5], 16)) for w in (line.split() for line in lines))
        assert sorted((t.fd, t.events, t.data) for t in found) == told and len(told) == 3
        # the number it was added by is closed: only the key still says which description is meant
        keys = {t.fd: t.file_key for t in found}
        assert keys[other] == keys[left.fileno()] != keys[right.fileno()]
        assert not [t for t in queues.epoll() if t.epfd == empty.fileno()]


def test_a_large_epoll_set(bpf: Observer) -> None:
    with select.epoll() as epoll:
        pipes = [os.pipe() for _ in range(300)]
        try:
            for reading, _ in pipes:
                epoll.register(reading, select.EPOLLIN)
            queues = bpf.queues([ME])
            assert queues
            assert sorted(t.fd for t in queues.epoll() if t.epfd == epoll.fileno()) == sorted(r for r, _ in pipes)
        finally:
            for pair in pipes:
                os.close(pair[0])
                os.close(pair[1])


def test_messages_and_the_files_in_them(bpf: Observer) -> None:
    left, right = socket.socketpair(type=socket.SOCK_DGRAM)
    with left, right:
        left.send(b"12345")
        left.send(b"")
        socket.send_fds(left, [b"abc"], [0, left.fileno(), 0])
        queues = bpf.queues([ME])
        assert queues
        found = [m for m in queues.messages() if m.fd == right.fileno()]
        assert [m.length for m in found] == [5, 0, 3]
        assert [len(m.file_keys) for m in found] == [0, 0, 3]
        first, own, again = found[2].file_keys
        assert first == again != own
        assert not [m for m in queues.messages() if m.fd == left.fileno()]
        assert right.recv(10) == b"12345"


def test_signals_that_wait(bpf: Observer) -> None:
    rt = signal.SIGRTMIN + 3
    ready, say = os.pipe()
    child = os.fork()  # a process of one thread: a signal that is for the process finds no other to take it
    if child == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, {rt, signal.SIGUSR1})
        for number in (rt, signal.SIGUSR1, rt):
            os.kill(os.getpid(), number)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        os.write(say, b"1")
        signal.pause()
    try:
        assert os.read(ready, 1) == b"1"
        queues = bpf.queues([child])
        assert queues
        found = [(s.tid, int.from_bytes(s.info[:4], "little")) for s in queues.pending()]
        assert sorted(found) == [(0, signal.SIGUSR1), (0, rt), (0, rt), (child, signal.SIGUSR1)]
        assert all(int.from_bytes(s.info[16:20], "little") == child for s in queues.pending())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(say)


def test_without_bpf_nobody_tells(plain: Observer) -> None:
    assert plain.queues([ME]) is None


@pytest.fixture(autouse=True)
def _only_root() -> None:
    if os.geteuid():
        pytest.skip("BPF is root's")
