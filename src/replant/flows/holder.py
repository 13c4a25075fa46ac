"""The process that keeps the tracking of a tree alive: it holds the descriptors, and says so to whoever asks.

Run as a script of its own, by an interpreter that loads nothing else: ``holder.py NAME STATE``. NAME is that of an
abstract socket (unix(7)), by which it is found; STATE the number of a descriptor with what it tells everybody who
connects: the marshalled (identity of the image, its path, {pid: (start time, tracking descriptor, pidfd)}). The
descriptors are not sent: who may trace this process takes them with pidfd_getfd(2).

It changes nothing and knows nothing. It lets go of a process that has ended, and ends with the last one. If it is
killed the kernel ends the tracking, and the tree runs on as if there had been none.
"""

from __future__ import annotations

import marshal
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket


def main() -> None:
    """Listen, leave the caller, hold."""
    import _socket

    name, state = sys.argv[1], int(sys.argv[2])
    told = _contents(state)
    os.close(state)
    listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    listening.bind(b"\0" + name.encode())
    listening.settimeout(5)
    ready, tell_ready = os.pipe()
    if os.fork():
        os.close(tell_ready)
        os._exit(0 if os.read(ready, 1) else 1)  # who has started this knows now whether it can be found
    listening.listen(8)  # whoever connects is told by the kernel who has done this (SO_PEERCRED)
    os.write(tell_ready, b"1")
    os.close(tell_ready)
    os.close(ready)
    os.setsid()
    os.chdir("/")
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("replant-track")
    _hold(listening, told, marshal.loads(told)[2])


def _contents(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def _hold(listening: socket, told: bytes, rows: dict[int, tuple[int, int, int]]) -> None:
    held = {pidfd: fd for _, fd, pidfd in rows.values()}
    poll = select.poll()
    poll.register(listening.fileno(), select.POLLIN)
    for pidfd in held:
        poll.register(pidfd, select.POLLIN)
    while held:
        for fd, _ in poll.poll():
            if fd in held:
                poll.unregister(fd)
                os.close(held.pop(fd))
                os.close(fd)
            else:
                _tell(listening, told)


def _tell(listening: socket, told: bytes) -> None:
    from _socket import socket

    try:
        fd, _ = listening._accept()  # type: ignore[attr-defined]
        with_it = socket(fileno=fd)
        with_it.settimeout(5)
        with_it.sendall(told)
        with_it.close()
    except OSError:  # whoever asked has gone
        pass


if __name__ == "__main__":
    main()
