"""inotify(7): watches by number, file and mask. Unread events are refused.

Watches are put on by a holder, when every file of the tree is open: what the restore itself opens, makes and removes
puts no event in there. A watched file without a name must be open in the tree.
"""

from __future__ import annotations

from replant.abi import fcntl, inotify, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import handles
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class Watch(Frozen):
    """Watch number ``wd`` on an inode; ``mask`` with flags, as inotify_add_watch(2) takes it."""

    wd: int
    place: handles.Place
    mask: int


class State(Frozen):
    """The watches in order of their numbers."""

    watches: tuple[Watch, ...]


def claims(f: FileFacts) -> bool:
    """The kernel names it ``inotify``, without brackets."""
    return f.link == "anon_inode:inotify"


def read(f: FileFacts, dump: DumpSide) -> State:
    """The ``inotify`` lines of fdinfo. :raises Blocker: events are unread, or a watched file has no name any more."""
    if socket.queued(f.grab()):
        raise refuse(f, "events that are not yet read are queued in it", "let the program read them")
    rows = [dict([w.split(":", 1) for w in line.split()[1:]]) for line in f.lines if line.startswith("inotify ")]
    mounts = handles.mounts() if rows else []
    return State(tuple(sorted(_watch(f, row, mounts, dump) for row in rows)))


def _watch(f: FileFacts, row: dict[str, str], mounts: Sequence[handles.Mount], dump: DumpSide) -> Watch:
    at = handles.place(f, row, mounts, dump)
    follow = inotify.IN_DONT_FOLLOW if at.is_link else 0
    return Watch(int(row["wd"], 16), at, int(row["mask"], 16) | follow)


def check(file: File) -> None:
    """:raises Blocker: a watched file is gone, or another one has its name."""
    for watch in _state(file).watches:
        handles.check(file, watch.place)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Without watches yet."""
    return [on.call(x86_64.inotify_init1, file.flags & fcntl.O_NONBLOCK, why="inotify") for file in files]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Each watch under its number."""
    for watch in _state(file).watches:
        path = handles.path(watch.place, restore)
        on.call(x86_64.ioctl, fd, inotify.INOTIFY_IOC_SETNEXTWD, watch.wd, why="number of the next watch")
        on.call(x86_64.inotify_add_watch, fd, path, watch.mask, why=f"watch {watch.wd}")


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Files without a name are other inodes."""
    old, new = ([_nameless(w) for w in state.watches] for state in (before, after))
    return [] if old == new else [f"watches: {old!r} -> {new!r}"]


def _nameless(watch: Watch) -> Watch:
    at = watch.place
    return watch if at.through < 0 else watch._replace(place=at._replace(ino=0, through=0))


def moved(state: State, to: Callable[[str], str]) -> State:
    """Each place moves."""
    return state._replace(watches=tuple([w._replace(place=handles.moved(w.place, to)) for w in state.watches]))
