"""The terminal that a program was started from: its settings are kept, the device is that of whoever restores.

A terminal whose master is in the tree is refused, as masters are. The option ``terminal`` says at restore what to take
instead of the restorer's own: a path, or ``null`` for none at all.
"""

from __future__ import annotations

import os
from stat import S_ISCHR

from replant.abi import libc, tty, x86_64
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_ENOTTY = 25


class State(Frozen):
    """``path`` and ``rdev`` of the old device, ``settings`` a struct termios (empty: it had been hung up)."""

    path: str
    rdev: int
    settings: bytes


def claims(f: FileFacts) -> bool:
    """Any character device of the majors of terminals, so that a refusal can say why."""
    return S_ISCHR(f.mode)


def read(f: FileFacts, dump: DumpSide) -> State:
    """Settings. :raises Blocker: it is the master of a pseudo-terminal, or a device that is no terminal."""
    number = (os.major(f.rdev), os.minor(f.rdev))
    if number == tty.PTMX:
        raise refuse(
            f,
            "it is the master of a pseudo-terminal, whose state cannot be kept",
            "dump only what runs inside of the terminal",
            "terminal-master",
        )
    settings = bytearray(tty.TERMIOS_SIZE)
    answer = libc.syscall_raw(x86_64.ioctl, f.grab(), tty.TCGETS, settings)
    if answer == -_ENOTTY:
        raise refuse(f, f"device {number[0]}:{number[1]} is no terminal", "close it before the dump", "device")
    return State(f.link.removesuffix(" (deleted)"), f.rdev, bytes(settings) if answer == 0 else b"")


def group(file: File) -> object:
    """All descriptions of one terminal, to set it once."""
    return _state(file).rdev


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the terminal of the restorer, and give it the program's settings.

    :raises Blocker: the restorer has none, and the user has not said what to take instead.
    """
    path = _substitute(restore.policy("terminal"))
    opened = [open_path(on, path, file.flags, "terminal of whoever restores") for file in files]
    settings = _state(files[0]).settings
    if settings:
        on.call(x86_64.ioctl, opened[0], tty.TCSETS, settings, why="settings of the terminal", ok=(_ENOTTY,))
    return opened


def _substitute(choice: str) -> str:
    if choice == "null":
        return "/dev/null"
    if choice:
        return choice
    for fd in (0, 1, 2):
        try:
            return os.ttyname(fd)
        except OSError:
            continue
    raise Blocker(
        "the tree was started from a terminal, and there is none here",
        code="terminal",
        resource="terminal",
        hint="restore from a terminal, or choose what to take: --terminal PATH, or --terminal null for none",
    )


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """The settings, unless there is no terminal any more; the device is another by nature."""
    if before.settings and after.settings and before.settings != after.settings:
        yield f"settings: {before.settings.hex()} -> {after.settings.hex()}"
