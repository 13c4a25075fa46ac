"""A program with connections: both ends of one to each host, or one end of each, the far one being elsewhere.

``ends.py SCENE inside HOST…``, or ``ends.py SCENE outside HOST=PORT…``.

It plays a scene of `scenes` with all of them, an act whenever it is asked.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any

import scenes
import selfcheck
from far import Remote


def inside(host: str) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over the loopback device; of IPv4 in IPv6 too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        near = connected(host, listener.getsockname()[1])
        far, _ = listener.accept()
    far.settimeout(scenes.LIMIT)
    return near, far


def outside(where: str) -> tuple[socket.socket, Any]:
    """The near end, and a far one that another process has."""
    host, _, port = where.partition("=")
    return connected(host, int(port)), Remote(f"far{port}")


def connected(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.connect((host, port))
    sock.settimeout(scenes.LIMIT)
    return sock


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    scene, make = getattr(scenes, sys.argv[1]), {"inside": inside, "outside": outside}[sys.argv[2]]
    played = [scene(*make(where)) for where in sys.argv[3:]]
    for acts in played:
        next(acts)
    selfcheck.serve(lambda: [next(acts) for acts in played] and None)


if __name__ == "__main__":
    main()
