"""Episodes of pipes and FIFOs."""

from __future__ import annotations

import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import episodes

CAPACITY = 1031


def _raises(error: type[OSError], act: Callable[[], object]) -> None:
    try:
        act()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def between_processes(here: Path) -> Iterator[None]:
    """A child with the ends crossed and at fixed numbers, which doubles what it reads."""
    down, up = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(down[0], 201)
            os.dup2(up[1], 200)
            episodes.only(200, 201)
            while data := os.read(201, 100):
                os.write(200, data * 2)
            os._exit(0)
        finally:
            os._exit(1)
    _close(down[0], up[1])
    yield
    os.write(down[1], b"ab")
    assert os.read(up[0], 100) == b"abab"
    os.close(down[1])
    assert os.read(up[0], 1) == b"", "end of file, when the writer ends"
    assert os.waitpid(pid, 0)[1] == 0
    os.close(up[0])


def ends_that_are_closed(here: Path) -> Iterator[None]:
    unread, unheard = os.pipe(), os.pipe()
    os.write(unread[1], b"last words")
    os.write(unheard[1], b"never read")
    _close(unread[1], unheard[0])
    yield
    assert [os.read(unread[0], 100), os.read(unread[0], 100)] == [b"last words", b""]
    _raises(BrokenPipeError, lambda: os.write(unheard[1], b"x"))
    _close(unread[0], unheard[1])


def full_and_resized(here: Path) -> Iterator[None]:
    pipes = []
    for size in (4096, 65536, 1 << 20):
        r, w = os.pipe()
        fcntl.fcntl(w, CAPACITY, size - 1)
        os.set_blocking(w, False)
        sent = b""
        with suppress(BlockingIOError):
            while True:
                piece = os.urandom(1111)
                sent += piece[: os.write(w, piece)]
        pipes.append((r, w, size, sent))
    yield
    for r, w, size, sent in pipes:
        assert fcntl.fcntl(r, CAPACITY + 1) == size
        got = b""
        while len(got) < len(sent):
            got += os.read(r, 1 << 20)
        assert got == sent
        with suppress(BlockingIOError):
            while True:
                got += b"x" * os.write(w, b"x" * 4096)
        assert len(got) - len(sent) == size
        _close(r, w)


def one_end_opened_twice(here: Path) -> Iterator[None]:
    r, w = os.pipe()
    os.write(w, b"abc")
    again = os.open(f"/proc/self/fd/{r}", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(f"/proc/self/fd/{w}", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND)
    both = os.open(f"/proc/self/fd/{r}", os.O_RDWR)
    copy = os.dup(w)
    yield
    assert [os.get_blocking(fd) for fd in (r, w, again, writer, both, copy)] == [True, True, False, False, True, True]
    assert [os.read(fd, 1) for fd in (r, again, both)] == [b"a", b"b", b"c"]
    _raises(BlockingIOError, lambda: os.read(again, 1))
    os.set_blocking(copy, False)
    assert not os.get_blocking(w), "a copy is the same description"
    os.write(writer, b"d")
    assert os.read(r, 1) == b"d"
    _close(r, w, again, writer, both, copy)


def owned_by_another(here: Path) -> Iterator[None]:
    r, w = os.pipe()
    os.fchmod(w, 0o622)
    with suppress(PermissionError):  # only root may give it away
        os.fchown(r, 1234, 4321)
    before = os.fstat(r)
    yield
    after = os.fstat(w)
    assert [(s.st_mode, s.st_uid, s.st_gid) for s in (before,)] == [(after.st_mode, after.st_uid, after.st_gid)]
    _close(r, w)


def fifos(here: Path) -> Iterator[None]:
    cases = []
    for data in (b"", b"queued"):
        for removed in (False, True):
            path = here / f"{len(data)}{removed}"
            os.mkfifo(path, 0o640)
            r, w = os.open(path, os.O_RDONLY | os.O_NONBLOCK), os.open(path, os.O_WRONLY)
            both = os.open(path, os.O_RDWR)
            os.set_blocking(r, True)
            os.write(w, data)
            if removed:
                path.unlink()
            cases.append((path, removed, data, r, w, both))
    yield
    for path, removed, data, r, w, both in cases:
        assert path.exists() != removed
        assert os.fstat(r).st_mode & 0o777 == 0o640
        os.write(both, b"+")
        assert os.read(r, 100) == data + b"+"
        os.write(w, b"x")
        assert os.read(both, 100) == b"x"
        _close(w, both)
        assert os.read(r, 1) == b""
        os.close(r)


def _written(path: Path) -> int:
    w = os.open(path, os.O_WRONLY)
    os.write(w, b"from a child")
    return w


def fifos_between_processes(here: Path) -> Iterator[None]:
    """Reading here and writing in another process; the directory of one of them is gone."""
    (here / "gone").mkdir()
    readers, children = [], []
    for path in (here / "fifo", here / "gone" / "fifo"):
        os.mkfifo(path)
        r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        children.append(episodes.child(lambda path=path: _written(path)))
        os.set_blocking(r, True)
        readers.append(r)
    (here / "gone" / "fifo").unlink()
    (here / "gone").rmdir()
    waits = here / "waits"
    os.mkfifo(waits)
    lonely = os.open(waits, os.O_RDONLY | os.O_NONBLOCK)
    yield
    for r, child in zip(readers, children, strict=True):
        assert os.read(r, 100) == b"from a child"
        assert not select.select([r], [], [], 0)[0]
        episodes.end(child)
        assert os.read(r, 1) == b""
        os.close(r)
    poll = select.poll()
    poll.register(lonely, select.POLLIN)
    assert poll.poll(0) == [], "nobody has hung up"
    w = os.open(waits, os.O_WRONLY)
    os.write(w, b"here")
    assert os.read(lonely, 10) == b"here"
    _close(w, lonely)


def a_fifo_where_a_socket_was(here: Path) -> Iterator[None]:
    """The path of a deleted bound socket is that of a FIFO now, and the other way round; and one of each is deleted."""
    first, second = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.bind(str(here / "one"))
    first.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(here / "one"))
    server = first.accept()[0]
    (here / "one").unlink()
    os.mkfifo(here / "one")
    fifo = os.open(here / "one", os.O_RDWR)
    os.write(fifo, b"one")
    os.mkfifo(here / "two")
    removed = os.open(here / "two", os.O_RDWR)
    os.write(removed, b"two")
    (here / "two").unlink()
    second.bind(str(here / "two"))
    second.listen()
    datagrams.bind(str(here / "three"))
    (here / "three").unlink()
    os.mkfifo(here / "three")
    third = os.open(here / "three", os.O_RDWR)
    (here / "three").unlink()
    os.mkfifo(here / "three")
    yield
    client.send(b"x")
    assert server.recv(1) == b"x" and first.getsockname() == str(here / "one")
    assert [os.read(fd, 10) for fd in (fifo, removed)] == [b"one", b"two"]
    with socket.socket(socket.AF_UNIX) as new:
        new.connect(str(here / "two"))
        second.accept()[0].close()
    assert datagrams.getsockname() == str(here / "three")
    os.write(third, b"x")
    for path, fd in ((here / "one", fifo), (here / "three", third)):
        assert os.path.samestat(path.stat(), os.fstat(fd)) == (fd == fifo)
    _close(fifo, removed, third)


def packets(here: Path) -> Iterator[None]:
    r, w = os.pipe2(os.O_DIRECT)
    for size in (5, 1, 4096, 2):
        os.write(w, bytes([size % 251]) * size)
    closed, writer = os.pipe2(os.O_DIRECT)
    for text in (b"first", b"second"):
        os.write(writer, text)
    os.close(writer)
    single, cleared = os.pipe2(os.O_DIRECT)
    os.write(cleared, b"p")
    os.set_blocking(cleared, True)
    fcntl.fcntl(cleared, fcntl.F_SETFL, 0)
    yield
    os.write(w, b"new")
    assert [os.read(r, 4) for _ in range(5)] == [b"\5" * 4, b"\1", bytes([4096 % 251]) * 4, b"\2\2", b"new"]
    assert [os.read(closed, 3) for _ in range(3)] == [b"fir", b"sec", b""]
    os.write(cleared, b"q")
    assert [os.read(single, 10) for _ in range(2)] == [b"p", b"q"]
    _close(r, w, closed, single, cleared)


def pages_of_files(here: Path) -> Iterator[None]:
    """Spliced from a file and from memory: as many pages as fit, with a byte of each."""
    (here / "file").write_bytes(bytes(range(256)) * 256)
    file = os.open(here / "file", os.O_RDONLY)
    r, w = os.pipe()
    for page in range(16):
        assert os.splice(file, w, 1, offset_src=page * 4096 + page) == 1
    r2, w2 = os.pipe()
    assert os.splice(file, w2, 10_000) == 10_000
    yield
    assert os.read(r, 100) == bytes(range(16))
    assert os.read(r2, 20_000) == (bytes(range(256)) * 256)[:10_000]
    _close(r, w, r2, w2, file)


if __name__ == "__main__":
    episodes.serve(episodes.all_of(globals()))
