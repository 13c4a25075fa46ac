"""A parent, children and a grandchild with an area that all had from the first, of which each has written a part.

``areas`` in the directory of the program tells where each has it: PID, address and bytes, a line each.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "programs"))

import selfcheck

PAGE = 4096
PAGES = 1600
area = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(area))
wanted: dict[int, bytes] = {}
children: list[tuple[int, int]] = []


def write(name: str, pages: range) -> None:
    """Fill pages with what nobody else has."""
    for page in pages:
        area[page * PAGE : (page + 1) * PAGE] = wanted[page] = (f"{name} {page} ".encode() * PAGE)[:PAGE]


def empty(pages: range) -> None:
    """Give pages back."""
    area.madvise(mmap.MADV_DONTNEED, pages.start * PAGE, len(pages) * PAGE)
    for page in pages:
        wanted[page] = bytes(PAGE)


def check() -> None:
    """Each page is what it was, here and in all that come from here, and what one writes no other sees."""
    for page, text in wanted.items():
        assert area[page * PAGE : (page + 1) * PAGE] == text, f"page {page} of {os.getpid()}"
    area[0:8] = os.getpid().to_bytes(8, "little")
    for ask, answer in children:
        os.write(ask, b"?")
        assert os.read(answer, 1) == b"!", "a child"
    assert int.from_bytes(area[0:8], "little") == os.getpid()
    area[0:8] = wanted[0][:8]


def leave() -> None:
    """Begin a session as daemons do, by a child of whose maker only the number is left."""
    os.setsid()
    if os.fork():
        os._exit(0)


def child(*changes: tuple[object, ...]) -> None:
    """Fork; the child makes its changes, and answers for ever."""
    (theirs, ask), (answer, ours) = os.pipe(), os.pipe()
    if os.fork():
        os.close(theirs)
        os.close(ours)
        children.append((ask, answer))
        assert os.read(answer, 1) == b"!", "a child"
        return
    for fd in (ask, answer, *(fd for pair in children for fd in pair)):
        os.close(fd)
    children.clear()
    for change, *arguments in changes:
        change(*arguments)  # type: ignore[operator]
    tell()
    os.write(ours, b"!")
    while os.read(theirs, 1):
        check()
        os.write(ours, b"!")
    os._exit(0)


def tell() -> None:
    with open("areas", "a") as file:
        file.write(f"{os.getpid()} {address} {PAGES * PAGE}\n")


ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
write("parent", range(PAGES))
tell()
child((leave,), (write, "daemon", range(1200, 1300)))
child((write, "first", range(10, PAGES, 7)))
child(
    (write, "second", range(100, 500)),
    (child, (write, "grandchild", range(300, 700)), (empty, range(1100, 1160))),
    (write, "second again", range(650, 800)),
)
write("parent again", range(900, 1050))
child((empty, range(50, 60)))
child()
selfcheck.serve(check)
