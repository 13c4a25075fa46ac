"""Terminals: pseudo-terminals whose master is in the tree, and the terminal that a program was started from.

Of a pair with its master: number, settings, window size, owner and mode, lock, packet and exclusive mode, what waits
to be read on both sides (as lines, where it is lines), stopped output; slaves opened by name or by TIOCGPTPEER; slaves
that have been hung up, with their master or without. ``/dev/tty`` is opened by a process that the terminal controls.
Who is controlled by which terminal, and its foreground group, are part of the tree of processes (`replant.derive`). A
number that is taken at restore is a refusal, or with ``--terminals renumber`` it becomes another one (a pair whose
master is closed takes another one without a word).

A slave whose master is outside of the tree: the settings are kept, the device is that of whoever restores; the option
``terminal`` says what to take instead, a path, or ``null`` for none at all.

Refused: a pair with a slave that is open outside of the tree, or mounted elsewhere than among its like (a container's
console); the system console, virtual terminals and serial lines, whose state is a device's; other line disciplines;
and, as they pass by themselves, an echo that finds no room, news of packet mode, and input to a slave never opened.
Where BPF cannot be used, masters are refused: only it sees what waits without taking it out.
"""

from __future__ import annotations

import os
from errno import EIO
from stat import S_ISCHR

from replant.abi import tty, x86_64
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import pty, pty_make
from replant.resources.shared.compare import fields
from replant.resources.shared.opening import open_path
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 2
SEEKABLE = False
_ENOTTY = 25


class State(Frozen):
    """``path`` and ``rdev`` of the device, as it was opened; ``role`` is what becomes of it:

    ``outer``: the terminal of the restorer, with ``settings``, a struct termios. ``master``, with its ``pair``.
    ``slave`` of file description ``master``, with TIOCEXCL if ``exclusive``. ``hung`` up, of ``master``, or of one that
    is closed (-1). ``own``: /dev/tty as opened by process ``opener``.
    """

    path: str
    rdev: int
    role: str
    settings: bytes = b""
    pair: pty.Pair | None = None
    master: int = -1
    exclusive: bool = False
    opener: int = 0


def claims(f: FileFacts) -> bool:
    """Any character device of the majors of terminals, so that a refusal can say why."""
    return S_ISCHR(f.mode)


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: it is no terminal, or one that cannot be kept."""
    device = (os.major(f.rdev), os.minor(f.rdev))
    path = f.link.removesuffix(" (deleted)")
    if device == tty.PTMX:
        return State(path, f.rdev, "master", pair=pty.read(f, dump.terminals()))
    _refuse_devices(f, device)
    master = _master(f, dump)
    if f.fd < 0:  # held by nobody, as a controlling terminal
        return State(path, f.rdev, "outer" if master < 0 else "slave", master=master)
    try:
        pty.refuse_discipline(f, f.grab())
        settings = pty.settings(f.grab(), tty.TCGETS, tty.TERMIOS_SIZE)
    except OSError as error:
        if error.errno == EIO:
            return State(path, f.rdev, "hung", master=master)
        raise refuse(f, "it is no terminal", "close it before the dump", "device") from None
    if master < 0:
        return State(path, f.rdev, "outer", settings)
    if device == tty.CONTROLLING and (opener := _controlled(f, dump)):
        return State(path, f.rdev, "own", master=master, opener=opener)
    exclusive = bool(pty.word(f.grab(), tty.TIOCGEXCL))
    return State(_own_name(f, path, device), f.rdev, "slave", master=master, exclusive=exclusive)


def _refuse_devices(f: FileFacts, device: tuple[int, int]) -> None:
    if device == tty.CONTROLLING:
        return
    if device[0] not in tty.UNIX98_SLAVE_MAJORS:
        what = "the system console" if device == tty.CONSOLE else "a virtual terminal or a serial line"
        raise refuse(
            f, f"it is {what}, whose state is that of a device", "run it in script(1), tmux(1) or the like", "device"
        )


def _master(f: FileFacts, dump: DumpSide) -> int:
    """The number of the description that is the master of a slave; -1: it is not in the tree."""
    terminals = dump.terminals()
    if terminals is None:
        return -1
    key = terminals.files.get((f.pid, f.fd)) if f.fd >= 0 else terminals.controlling.get(f.pid)
    other = terminals.sides[key].other if key else 0
    holder = next((holder for holder, side in terminals.files.items() if side == other), None)
    number = f.number_of(*holder) if holder else None
    return -1 if number is None else number


def _controlled(f: FileFacts, dump: DumpSide) -> int:
    """A process whose controlling terminal is that of ``f``, its holder if it is one; 0: there is none."""
    terminals = dump.terminals()
    assert terminals is not None
    key = terminals.files.get((f.pid, f.fd))
    pids = [pid for pid, side in terminals.controlling.items() if side == key]
    return f.pid if f.pid in pids else min(pids, default=0)


def _own_name(f: FileFacts, path: str, device: tuple[int, int]) -> str:
    """:raises Blocker: the slave was opened by a name that it will not have again, as one mounted over a console."""
    if device != tty.CONTROLLING and os.path.basename(path) != str(device[1]):
        why = "a slave that is mounted elsewhere cannot be mounted there again"
        raise refuse(f, why, "have it opened by its own name", "terminal-mounted")
    return path


def group(file: File) -> object:
    """All pairs of the tree, to open them in the order of their numbers; or all descriptions of a terminal."""
    state = _state(file)
    if state.role == "own":
        return state.role, state.opener
    return ("outer", state.rdev) if state.role == "outer" else "pairs"


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def check(file: File) -> None:
    """:raises Blocker: the number of a pseudo-terminal is taken here, or there cannot be so many."""
    pair = _state(file).pair
    if pair is None:
        return
    name = f"{pair.devpts}/{pair.number}"
    with open("/proc/sys/kernel/pty/max", encoding="ascii") as limit:
        if not os.path.exists(f"{pair.devpts}/ptmx") or pair.number >= int(limit.read()):
            raise hinder(
                file, name, "there is no such pseudo-terminal here", "mount devpts, raise kernel.pty.max", "terminal"
            )


def maker(files: Sequence[File]) -> int:
    """/dev/tty is the terminal of whoever opens it."""
    return _state(files[0]).opener


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the pairs, or /dev/tty, or the terminal of the restorer, and give that the program's settings.

    :raises Blocker: the restorer has none, and the user has not said what to take instead; a number is taken.
    """
    role = _state(files[0]).role
    if role == "own":
        return [open_path(on, "/dev/tty", file.flags, "its controlling terminal") for file in files]
    if role != "outer":
        return _pairs(files, on, renumber=restore.policy("terminals") == "renumber")
    path = _substitute(restore.policy("terminal"))
    opened = [open_path(on, path, file.flags, "terminal of whoever restores") for file in files]
    settings = next((s.settings for s in map(_state, files) if s.settings), b"")
    if settings:
        on.call(x86_64.ioctl, opened[0], tty.TCSETS, settings, why="settings of the terminal", ok=(_ENOTTY,))
    return opened


def _pairs(files: Sequence[File], on: Track, *, renumber: bool) -> list[Slot]:
    """All pairs of the tree: masters first, for their numbers; then each with its slaves."""
    maker, sides, closed = pty_make.Maker(on), _sides(files), _closed(files)
    masters = [(file, s.path, s.pair) for file in files if (s := _state(file)).pair is not None]
    wishes = [pty_make.Wish(p.devpts, p.number, path, f.flags, needed=not renumber) for f, path, p in masters if p]
    last = [pty_make.Wish(devpts, number, f"{devpts}/ptmx", os.O_RDWR, needed=False) for devpts, number in closed]
    opened = pty_make.open_masters(on, [*wishes, *last])
    for (file, _, pair), master in zip(masters, opened, strict=False):
        if pair:
            maker.made[file.number] = master
            maker.pair(master, pair, sides.get(file.number, ()))
    for hung, master in zip(closed.values(), opened[len(wishes) :], strict=True):
        maker.closed(master, hung)
    return [maker.made[file.number] for file in files]


def _sides(files: Sequence[File]) -> dict[int, list[pty_make.Side]]:
    """The slaves by the number of their master."""
    found: dict[int, list[pty_make.Side]] = {}
    for file in files:
        state = _state(file)
        found.setdefault(state.master, []).append(pty_make.Side(file, state.role, state.exclusive))
    return found


def _closed(files: Sequence[File]) -> dict[tuple[str, int], list[pty_make.Side]]:
    """Slaves whose master is closed, by the directory and the number that they had."""
    found: dict[tuple[str, int], list[pty_make.Side]] = {}
    for side in _sides(files).get(-1, ()):
        if side.role == "hung":
            state = _state(side.file)
            folder, name = os.path.split(state.path)
            found.setdefault((folder if name.isdecimal() else "/dev/pts", os.minor(state.rdev)), []).append(side)
    return found


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
    """All but what waits, if time has passed; of the terminal outside the settings, as the device is another.

    A slave whose master is closed may have got another number.
    """
    if before.role == after.role == "outer":
        ignored: tuple[str, ...] = ("path", "rdev", *([] if before.settings and after.settings else ["settings"]))
    else:
        ignored = ("path", "rdev") if before.role == after.role == "hung" else ("pair",)
    yield from fields(before, after, ignored)
    if before.pair and after.pair:
        yield from fields(before.pair, after.pair, ("to_slave", "to_master", "opened") if elapsed else ())
