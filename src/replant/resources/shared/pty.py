"""Pseudo-terminals whose master is in the tree: what is saved of a pair, and how it is read.

Most of it the master tells. What waits to be read only BPF can see without taking it out, as it alone sees whether a
slave is open outside of the tree.
"""

from __future__ import annotations

import os

from replant.abi import fcntl, libc, tty, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.observe.bpf.terminals import Terminals, Tty
    from replant.resources.protocol import FileFacts

_POLLPRI, _POLLHUP = 0x2, 0x10
_LINE_ENDS = 2  # VEOL and VEOL2


class Waiting(Frozen):
    """What one side has not read: ``read`` went through the line discipline, its lines end at the offsets ``ends``.

    ``raw`` is still to go through it. ``quoted``: the next character is to be taken literally (VLNEXT).
    """

    read: bytes
    ends: tuple[int, ...]
    raw: bytes
    quoted: bool

    def own_ends(self) -> list[int]:
        """The characters that end lines, other than newline and the end of file (which the kernel keeps as 0)."""
        return sorted({self.read[at] for at in self.ends} - {0, 0x0A})


class Pair(Frozen):
    """A pair, as its master tells: slave ``number`` in the directory ``devpts``.

    ``settings`` is a struct termios2, ``size`` a struct winsize; ``uid``, ``gid`` and ``mode`` those of the slave's
    name. ``exclusive``: the master's TIOCEXCL. ``opened``: a slave has been open, so that the master sees a hang-up
    when none is. ``stopped``: its output is, by ``"key"`` or ``"call"`` of tcflow(3).
    """

    number: int
    devpts: str
    settings: bytes
    size: bytes
    uid: int
    gid: int
    mode: int
    locked: bool
    packet: bool
    exclusive: bool
    opened: bool
    stopped: str
    to_slave: Waiting
    to_master: Waiting


def read(f: FileFacts, terminals: Terminals | None) -> Pair:
    """The pair of a master.

    :raises Blocker: it cannot be seen, a slave is open outside of the tree, or something is under way.
    """
    if terminals is None:
        why = "it is the master of a pseudo-terminal, and what waits in one can be seen by BPF only"
        raise refuse(f, why, "run replant with CAP_BPF and CAP_PERFMON ('replant check' tells)", "terminal-unseen")
    ours = terminals.sides[terminals.files[f.pid, f.fd]]
    theirs = terminals.sides[ours.other]
    fd = f.grab()
    refuse_discipline(f, fd)
    slaves = _open_in_tree(f, terminals, ours.other)
    opened = slaves > 0 or bool(_poll(fd) & _POLLHUP)
    _refuse_what_is_under_way(f, fd, theirs, opened)
    if theirs.opens - 1 > slaves:
        why = "its slave is open in a process outside of the tree"
        raise refuse(f, why, "dump a tree with all of them, or end it: fuser(1) with the slave's name", "outside")
    peer = libc.syscall(x86_64.ioctl, fd, tty.TIOCGPTPEER, fcntl.O_PATH | fcntl.O_CLOEXEC)  # opens nothing
    try:
        name, st = os.readlink(f"/proc/self/fd/{peer}"), os.fstat(peer)
    finally:
        os.close(peer)
    return Pair(
        number=word(fd, tty.TIOCGPTN),
        devpts=os.path.dirname(name),
        settings=settings(fd, tty.TCGETS2, tty.TERMIOS2_SIZE),
        size=settings(fd, tty.TIOCGWINSZ, tty.WINSIZE_SIZE),
        uid=st.st_uid,
        gid=st.st_gid,
        mode=st.st_mode & 0o7777,
        locked=bool(word(fd, tty.TIOCGPTLCK)),
        packet=bool(word(fd, tty.TIOCGPKT)),
        exclusive=bool(word(fd, tty.TIOCGEXCL)),
        opened=opened,
        stopped="call" if theirs.by_call else "key" if theirs.stopped else "",
        to_slave=Waiting(theirs.read, theirs.ends, theirs.raw, theirs.quoted),
        to_master=Waiting(ours.read, (), ours.raw, False),
    )


def _open_in_tree(f: FileFacts, terminals: Terminals, side: int) -> int:
    """How many descriptions of the tree have a side of a terminal."""
    holders = [holder for holder, key in terminals.files.items() if key == side]
    return len({f.number_of(*holder) for holder in holders} - {None})


def _refuse_what_is_under_way(f: FileFacts, fd: int, slave: Tty, opened: bool) -> None:
    """States between two, which pass by themselves as the programs on both sides go on."""
    whys = {
        "echo": slave.echoes and "what has been typed is still to be echoed, and there is no room for it",
        "packet": _poll(fd) & _POLLPRI and "its reader has yet to be told of a change (TIOCPKT)",
        "unopened": not opened and slave.read + slave.raw and "it was written to before anybody opened its slave",
    }
    for word, why in whys.items():
        if why:
            raise refuse(f, str(why), "try again once the programs on both sides have gone on", f"terminal-{word}")
    if len(Waiting(slave.read, slave.ends, b"", False).own_ends()) > _LINE_ENDS:
        why = "the lines that wait in it end by more characters than a terminal can have"
        raise refuse(f, why, "try again once they have been read", "terminal-lines")


def refuse_discipline(f: FileFacts, fd: int) -> None:
    """:raises Blocker: something else than N_TTY handles the characters of a terminal."""
    discipline = word(fd, tty.TIOCGETD)
    if discipline != tty.N_TTY:
        why = f"it has line discipline {discipline} (see ldattach(8))"
        raise refuse(f, why, "give it back its usual one before the dump", "line-discipline")


def word(fd: int, request: int) -> int:
    """What an ioctl that stores an int stores."""
    return int.from_bytes(settings(fd, request, 4), "little", signed=True)


def settings(fd: int, request: int, size: int) -> bytes:
    """What an ioctl stores. :raises OSError: EIO when the terminal has been hung up."""
    buffer = bytearray(size)
    libc.syscall(x86_64.ioctl, fd, request, buffer)
    return bytes(buffer)


def _poll(fd: int) -> int:
    """What poll(2) tells of a descriptor now."""
    asked = bytearray(fd.to_bytes(4, "little") + _POLLPRI.to_bytes(2, "little") + bytes(2))
    libc.syscall(x86_64.poll, asked, 1, 0)
    return int.from_bytes(asked[6:], "little")
