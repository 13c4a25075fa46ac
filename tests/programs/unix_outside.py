"""Unix sockets with somebody outside of the tree at the other end; the words say which, and are given paths."""

from __future__ import annotations

import os
import socket
import sys

import selfcheck


def main(what: str, path: str) -> None:
    kind = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}[what]
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(60)
    if kind == socket.SOCK_DGRAM:
        s.bind(path + ".own")
    s.connect(path)

    def check() -> None:
        s.send(b"question")
        assert s.recv(20) == b"answer"

    def closed() -> None:
        assert s.recv(20) == b"", "the other end is open"

    selfcheck.serve(closed if os.environ.get("CLOSED") else check)


def waiting(what: str, path: str) -> None:
    """A listener, and a client that waits: with data, closed."""
    listener, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    client.connect(path)
    if what == "data":
        client.send(b"data")
    else:
        client.close()

    def check() -> None:
        listener.setblocking(False)
        server, _ = listener.accept()
        server.setblocking(False)
        assert server.recv(10) == (b"data" if what == "data" else b"")
        with socket.socket(socket.AF_UNIX) as again:
            again.connect(path)

    def skipped() -> None:
        listener.setblocking(False)
        try:
            listener.accept()
        except BlockingIOError:
            return
        raise AssertionError("somebody waits")

    selfcheck.serve(skipped if os.environ.get("SKIPPED") else check)


if __name__ == "__main__":
    (waiting if sys.argv[1] in ("data", "closed") else main)(*sys.argv[1:])
