"""fanotify(7): marks on inodes, mounts and filesystems, with the masks of what to ignore. Unread events are refused.

Marks are put on by a holder, when every file of the tree is open, so that the restore itself puts no event in there. A
group that gives permissions is refused before anything is opened, as the tool would wait for its answer; and one of
somebody who may not administrate, as the kernel tells him less.
"""

from __future__ import annotations

from replant.abi import capability, fanotify, fcntl, socket, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared import handles
from replant.resources.shared.refusal import hinder, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False


class Mark(Frozen):
    """``on`` is the flag that says of what sort: 0 an inode, FAN_MARK_MOUNT, FAN_MARK_FILESYSTEM; ``flags`` the others.

    ``mask`` and ``ignored`` as fanotify_mark(2) takes them, 0 for none.
    """

    on: int
    place: handles.Place
    flags: int
    mask: int
    ignored: int


class State(Frozen):
    """What fanotify_init(2) was given, and the marks."""

    flags: int
    event_flags: int
    marks: tuple[Mark, ...]


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[fanotify]``."""
    return f.link == "anon_inode:[fanotify]"


def _rows(f: FileFacts) -> list[dict[str, str]]:
    """The ``fanotify`` lines of fdinfo: one of the group, and one for each mark."""
    return [dict([w.split(":", 1) for w in line.split()[1:]]) for line in f.lines if line.startswith("fanotify ")]


def danger(f: FileFacts) -> None:
    """:raises Blocker: it gives permissions, and who is to give them is stopped."""
    if int(_rows(f)[0]["flags"], 16) & (fanotify.FAN_CLASS_CONTENT | fanotify.FAN_CLASS_PRE_CONTENT):
        raise refuse(f, "others wait for permissions that it gives", "let the program close it", "fanotify-permission")


def read(f: FileFacts, dump: DumpSide) -> State:
    """:raises Blocker: its holder is not privileged, events are unread, or a watched file has no name any more."""
    rows = _rows(f)
    flags, event_flags = int(rows[0]["flags"], 16), int(rows[0]["event-flags"], 16)
    if not _may_administrate(f.pid):
        raise refuse(f, "its holder has not CAP_SYS_ADMIN", "let the program close it", "fanotify-unprivileged")
    if socket.queued(f.grab()):
        raise refuse(f, "events that are not yet read are queued in it", "let the program read them")
    mounts = handles.mounts()
    return State(flags, event_flags, tuple(sorted(_mark(f, row, mounts, dump) for row in rows[1:])))


def _may_administrate(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as lines:
        effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(effective >> capability.CAP_SYS_ADMIN & 1)


def _mark(f: FileFacts, row: dict[str, str], mounts: Sequence[handles.Mount], dump: DumpSide) -> Mark:
    if "ino" in row:
        at, on = handles.place(f, row, mounts, dump), 0
    elif "mnt_id" in row:
        number, on = int(row["mnt_id"], 16), fanotify.FAN_MARK_MOUNT
        at = _point(f, [m.point for m in mounts if m.number == number])
    else:
        dev, on = handles.device(row["sdev"]), fanotify.FAN_MARK_FILESYSTEM
        at = _point(f, [m.point for m in mounts if m.dev == dev])
    return Mark(on, at, *[int(row[name], 16) for name in ("mflags", "mask", "ignored_mask")])


def _point(f: FileFacts, points: Sequence[str]) -> handles.Place:
    if not points:
        raise refuse(f, "it watches a mount that is not to be seen from here", "let the program remove the mark")
    return handles.Place(points[0], 0, 0, is_link=False)


def check(file: File) -> None:
    """:raises Blocker: a watched file is gone, or another one has its name; or there is no mount any more."""
    points = [m.point for m in handles.mounts()]
    for mark in _state(file).marks:
        if mark.on and mark.place.path not in points:
            raise hinder(file, mark.place.path, "a watched mount, and none is there", "mount it again", "file-gone")
        handles.check(file, mark.place)


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Without marks yet."""
    made = []
    for state in map(_state, files):
        flags = state.flags & ~fanotify.FAN_CLOEXEC
        made.append(on.call(x86_64.fanotify_init, flags, state.event_flags, why="fanotify"))
    return made


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Each mark: what it tells of, and what not."""
    for mark in _state(file).marks:
        follow = fanotify.FAN_MARK_DONT_FOLLOW if mark.place.is_link else 0
        how = fanotify.FAN_MARK_ADD | mark.on | mark.flags & fanotify.FAN_MARK_EVICTABLE | follow
        path = handles.path(mark.place, restore)
        if mark.mask:
            on.call(x86_64.fanotify_mark, fd, how, mark.mask, fcntl.AT_FDCWD, path, why="what it tells of")
        if mark.ignored:
            lasting = mark.flags & fanotify.FAN_MARK_IGNORED_SURV_MODIFY
            how |= lasting | (mark.flags & fanotify.FAN_MARK_IGNORE or fanotify.FAN_MARK_IGNORED_MASK)
            on.call(x86_64.fanotify_mark, fd, how, mark.ignored, fcntl.AT_FDCWD, path, why="what it ignores")


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Files without a name are other inodes."""
    old, new = (sorted(_nameless(m) for m in state.marks) for state in (before, after))
    found = [f"marks: {old!r} -> {new!r}"] if old != new else []
    return found + ([f"flags: {before[:2]} -> {after[:2]}"] if before[:2] != after[:2] else [])


def _nameless(mark: Mark) -> Mark:
    at = mark.place
    return mark if at.through < 0 else mark._replace(place=at._replace(ino=0, through=0))


def moved(state: State, to: Callable[[str], str]) -> State:
    """Each place moves."""
    return state._replace(marks=tuple([w._replace(place=handles.moved(w.place, to)) for w in state.marks]))
