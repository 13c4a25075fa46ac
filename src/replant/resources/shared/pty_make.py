"""Pseudo-terminals made again: each with its number, its settings and what waits in it, by nobody who could be hung up.

The kernel gives a new pair the lowest free number. So pairs are opened in the order of their numbers, with spare ones
in between for numbers that are free and not wanted. What waits for a reader is put in character by character (TIOCSTI:
a write would be handled by a thread of the kernel, later), under settings that leave it as it is.
"""

from __future__ import annotations

import os

from replant.abi import fcntl, tty, x86_64
from replant.abi.call import Out
from replant.errors import Blocker
from replant.resources.shared.opening import again, open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.shared.pty import Pair, Waiting

_ON, _OFF = (1).to_bytes(4, "little"), bytes(4)
_PIECE = 1000  # the buffers of a terminal take most in pieces of about this size: 18048 bytes, 11776 in larger ones


class Side:
    """A description of a pair to be made: ``role`` is slave or hung (up); ``exclusive`` a slave's TIOCEXCL."""

    __slots__ = ("exclusive", "file", "role")

    def __init__(self, file: File, role: str, exclusive: bool) -> None:
        self.file, self.role, self.exclusive = file, role, exclusive


class Wish:
    """A master to open: ``number`` of the instance at ``devpts``, opened by the name ``path`` with ``flags``.

    ``needed``: no other number will do.
    """

    __slots__ = ("devpts", "flags", "needed", "number", "path")

    def __init__(self, devpts: str, number: int, path: str, flags: int, *, needed: bool) -> None:
        self.devpts, self.number, self.path, self.flags, self.needed = devpts, number, path, flags, needed


def open_masters(on: Track, wishes: Sequence[Wish]) -> list[Slot]:
    """The masters, in order.

    :raises Blocker: a number that is needed is taken.
    """
    made: dict[Wish, Slot] = {}
    for devpts in sorted({wish.devpts for wish in wishes}):
        taken = {int(name) for name in os.listdir(devpts) if name.isdecimal()}
        here = [wish for wish in wishes if wish.devpts == devpts]
        for wish in here:
            if wish.needed and wish.number in taken:
                raise _taken(wish)
        fixed = {wish.number: wish for wish in here if wish.number not in taken and wish.needed}
        spare = []
        for number in range(max(fixed, default=-1) + 1):
            if number in fixed:
                made[fixed[number]] = _open(on, fixed[number])
            elif number not in taken:
                spare.append(open_path(on, f"{devpts}/ptmx", fcntl.O_RDWR, "a number that nobody wants"))
        for each in spare:
            on.call(x86_64.close, each, why="a number that nobody wants")
        made.update({wish: _open(on, wish) for wish in sorted(here, key=lambda w: w.number) if wish not in made})
    return [made[wish] for wish in wishes]


def _open(on: Track, wish: Wish) -> Slot:
    master = open_path(on, wish.path, wish.flags, f"pseudo-terminal {wish.number}")
    if wish.needed:
        why = f"pseudo-terminal {wish.number} (has somebody opened one meanwhile? then try again)"
        told = on.call(x86_64.ioctl, master, tty.TIOCGPTN, Out(4), why=why)
        on.expect(told, wish.number.to_bytes(4, "little"))
    return master


def _taken(wish: Wish) -> Blocker:
    return Blocker(
        f"pseudo-terminal {wish.number} is taken",
        code="terminal-taken",
        resource=f"{wish.devpts}/{wish.number}",
        hint="close it (who has it: fuser(1)), or take other numbers: --terminals renumber",
    )


class Maker:
    """The calls that make all pairs of a tree; ``made`` has the descriptor of each description by its number."""

    def __init__(self, on: Track) -> None:
        self.on = on
        self.made: dict[int, Slot] = {}

    def pair(self, master: Slot, pair: Pair, sides: Sequence[Side]) -> None:
        """Make a pair what it was, its master being open: the slaves of ``sides``, and what waits."""
        self._call(master, tty.TIOCSPTLCK, _OFF, "slaves can be opened")
        self._hung(master, [side for side in sides if side.role == "hung"])
        slaves = [side for side in sides if side.role == "slave"]
        for side in slaves:
            self.made[side.file.number] = self._slave(master, side.file.flags)
        if pair.opened and (not slaves or _waits(pair)):
            own = self._slave(master, fcntl.O_RDWR | fcntl.O_NONBLOCK)
            self._fill(master, own, pair)
            self.on.call(x86_64.close, own, why="open only to be filled")
        self._call(master, tty.TCSETS2, pair.settings, "settings of the terminal")
        self._name(master, pair)
        for side in slaves:
            if side.exclusive:
                self._call(self.made[side.file.number], tty.TIOCEXCL, 0, "nobody else may open it")
        self._modes(master, pair)

    def closed(self, master: Slot, sides: Sequence[Side]) -> None:
        """Slaves whose master has been closed."""
        self._call(master, tty.TIOCSPTLCK, _OFF, "slaves can be opened")
        for side in sides:
            self.made[side.file.number] = self._slave(master, side.file.flags)
        self.on.call(x86_64.close, master, why="hangs its slaves up")

    def _hung(self, master: Slot, sides: Sequence[Side]) -> None:
        """Slaves that were hung up while their master lives on."""
        for side in sides:
            self.made[side.file.number] = self._slave(master, side.file.flags)
        if sides:
            self._call(self.made[sides[0].file.number], tty.TIOCVHANGUP, 0, "hung up")

    def _slave(self, master: Slot, flags: int) -> Slot:
        return self.on.call(x86_64.ioctl, master, tty.TIOCGPTPEER, again(flags), why="slave")

    def _fill(self, master: Slot, slave: Slot, pair: Pair) -> None:
        """What waits in both directions, and whether the output is stopped."""
        waiting, settings = pair.to_slave, pair.settings
        lines = tty.is_canonical(settings)
        ends = waiting.own_ends() if lines else []
        self._call(slave, tty.TCSETS2, tty.literal(settings, _two(ends)), "nothing is to change what is put in")
        for character in _typed(waiting, lines):
            self._call(slave, tty.TIOCSTI, bytes([character]), "typed, and not read")
        for character in pair.to_master.read:
            self._call(master, tty.TIOCSTI, bytes([character]), "printed, and not read")
        self._write(slave, pair.to_master.raw, "printed, and not read")
        if waiting.quoted:
            self._call(slave, tty.TIOCSTI, bytes([tty.LITERAL]), "the next character is literal")
        self._call(slave, tty.TCSETS2, settings, "settings of the terminal")
        if pair.stopped == "key":
            self._call(slave, tty.TCSETS2, tty.stops_by_key(settings), "a key that stops")
            self._call(slave, tty.TIOCSTI, bytes([tty.STOP]), "output is stopped")
            self._call(slave, tty.TCSETS2, settings, "settings of the terminal")
        elif pair.stopped:
            self._call(slave, tty.TCXONC, tty.TCOOFF, "output is stopped")
        self._write(master, waiting.raw, "typed, and not looked at")

    def _write(self, fd: Slot, data: bytes, why: str) -> None:
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            self.on.call(x86_64.write, fd, piece, len(piece), why=why, gives=len(piece))

    def _name(self, master: Slot, pair: Pair) -> None:
        """Owner and mode of the slave's name, which can be had without opening the slave."""
        name = self.on.call(x86_64.ioctl, master, tty.TIOCGPTPEER, fcntl.O_PATH | fcntl.O_CLOEXEC, why="its name")
        self.on.call(x86_64.fchownat, name, b"\0", pair.uid, pair.gid, fcntl.AT_EMPTY_PATH, why="owner")
        self.on.call(x86_64.fchmodat2, name, b"\0", pair.mode, fcntl.AT_EMPTY_PATH, why="mode")
        self.on.call(x86_64.close, name)

    def _modes(self, master: Slot, pair: Pair) -> None:
        self._call(master, tty.TIOCSWINSZ, pair.size, "window size")
        if pair.exclusive:
            self._call(master, tty.TIOCEXCL, 0, "nobody else may open it")
        if pair.packet:
            self._call(master, tty.TIOCPKT, _ON, "packet mode")
        if pair.locked:
            self._call(master, tty.TIOCSPTLCK, _ON, "lock")

    def _call(self, fd: Slot, request: int, argument: int | bytes, why: str) -> None:
        self.on.call(x86_64.ioctl, fd, request, argument, why=why)


def _waits(pair: Pair) -> bool:
    here, there = pair.to_slave, pair.to_master
    return bool(here.read or here.raw or here.quoted or there.read or there.raw or pair.stopped)


def _two(ends: Sequence[int]) -> tuple[int, int]:
    first, second, *_ = (*ends, 0, 0)
    return first, second


def _typed(waiting: Waiting, lines: bool) -> Iterator[int]:
    """The keys that give what was read, line ends where they were."""
    if not lines:
        yield from waiting.read
        return
    ends, special = set(waiting.ends), {0x0A, tty.EOF, tty.LITERAL, *waiting.own_ends()}
    for at, character in enumerate(waiting.read):
        if at in ends:
            yield character or tty.EOF
            continue
        if character in special:
            yield tty.LITERAL
        yield character
