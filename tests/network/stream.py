"""A program with a TCP connection over which both ends stream numbers at full speed, each checking what it gets.

``stream.py HOST PORT``: connects there, and is then its own judge: every eight bytes are the next number. What it has
received and sent is told, on SIGUSR1, by its verdict.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import sys

CHUNK = 4096  # numbers
_EIGHT = 8


class Stream:
    """One end: sends the numbers from 0 on, and expects the same."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = self.received = 0
        self.out = self.rest = b""
        self.wrong = ""
        sock.setblocking(False)

    def send(self) -> None:
        if not self.out:
            first = self.sent // _EIGHT
            self.out = array.array("Q", range(first, first + CHUNK)).tobytes()
        count = self.sock.send(self.out)
        self.sent += count
        self.out = self.out[count:]

    def receive(self) -> bool:
        data = self.rest + self.sock.recv(1 << 16)
        whole = len(data) // _EIGHT * _EIGHT
        if not data:
            return False
        first = self.received // _EIGHT
        if data[:whole] != array.array("Q", range(first, first + whole // _EIGHT)).tobytes():
            self.wrong = self.wrong or f"after {self.received} bytes something else came"
        self.received += whole
        self.rest = data[whole:]
        return True

    def step(self, patience: float) -> bool:
        """Send and receive what can be; whether the peer is still there."""
        readable, writable, _ = select.select([self.sock], [self.sock], [], patience)
        try:
            if writable:
                self.send()
            return self.receive() if readable else True
        except BlockingIOError:
            return True
        except OSError as e:
            self.wrong = self.wrong or str(e)
            return False


def main() -> None:
    asked = [False]
    signal.signal(signal.SIGUSR1, lambda *_: asked.__setitem__(0, True))
    stream = Stream(socket.create_connection((sys.argv[1], int(sys.argv[2]))))
    with open("ready", "w") as file:
        file.write("yes")
    while True:
        alive = stream.step(0.1)
        if not alive:
            stream.wrong = stream.wrong or "the peer has closed"
        if asked[0]:
            asked[0] = False
            before = stream.sent, stream.received
            while alive and not (stream.sent > before[0] and stream.received > before[1]):
                alive = stream.step(0.1)
            with open("verdict.new", "w") as file:
                file.write(stream.wrong or ("ok" if alive else "the peer has closed"))
            os.rename("verdict.new", "verdict")
        if not alive:
            signal.pause()


if __name__ == "__main__":
    main()
