"""Control groups that a tree is in, cgroups(7): made again where they are missing, with owner, mode and settings.

All groups from below the root of a hierarchy to that of a task are kept; of those in which nobody else is also the
settings, and all groups below. A group that is there at restore is left as it is, and so is one that the user has
prepared elsewhere (``--cgroups PATH``); with ``--cgroups ignore`` none is made. CPU and memory sets are set before
tasks enter, and descriptors of directories and files of groups are opened when all are there. Usage so far is not kept:
counters, peaks, statistics. Which group a task is in is an attribute of it (``control_groups``).

Refused: tasks in a frozen group, which cannot be stopped or asked.
"""

from __future__ import annotations

import os
from errno import EOPNOTSUPP
from stat import S_IMODE, S_ISREG

from replant.abi import cgroup, x86_64
from replant.abi.fcntl import AT_FDCWD, AT_REMOVEDIR
from replant.errors import ImageError, ReplantError
from replant.model.frozen import Frozen
from replant.resources.shared import cgroups
from replant.resources.shared.cgroups import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from replant.abi.call import Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, RestoreSide

VERSION = 1
SEEKABLE = False
DESCRIPTOR = False
USES: dict[str, tuple[str, ...]] = {"make": ()}
GIVES = {"make": ("names",)}

_DEVICES = "devices.list"
_EVERY_DEVICE = "a *:* rwm"
_OOM = "memory.oom_control"
_SHOWN = 3
_MANY = 4096  # groups below one: more are not the work of a program


class Setting(Frozen):
    """A file of a group: ``value`` as read, and its owner."""

    name: str
    value: str
    uid: int
    gid: int


class State(Frozen):
    """A group; ``mode``, ``uid`` and ``gid`` are those of its directory, ``own`` says whether nobody else was in it.

    Only of those that nobody else was in there are settings.
    """

    place: Place
    mode: int
    uid: int
    gid: int
    own: bool
    settings: tuple[Setting, ...]


def standing(dump: DumpSide, known: Sequence[File]) -> Iterable[State]:
    """The groups of the tree, parents first; without those of hierarchies that are not mounted, which must be there."""
    texts = {state.lines for state in dump.states("control_groups")}
    places = {place for lines in texts for place in cgroups.places(lines)}
    found: dict[Place, bool] = {}
    for place in sorted(filter(cgroups.is_seen, places)):
        parts = place.path.split("/")
        for above in [Place(place.hierarchy, "/".join(parts[:n])) for n in range(2, len(parts) + 1)]:
            found[above] = found.get(above) or _is_own(cgroups.folder(above), dump.pids())
        if found[place]:
            found.update(dict.fromkeys(_below(place), True))
    for place, own in sorted(found.items()):
        yield _state(place, own)


def _is_own(folder: str, pids: set[int]) -> bool:
    """Whether nobody else is in a group or below it. A threaded one does not tell: its domain does."""
    for path, _, _ in os.walk(folder):
        try:
            if not {int(line) for line in _read(f"{path}/cgroup.procs").split()} <= pids:
                return False
        except OSError as e:
            if e.errno != EOPNOTSUPP:
                return False
    return True


def _below(place: Place) -> Iterator[Place]:
    folder = cgroups.folder(place)
    for count, (path, _, _) in enumerate(os.walk(folder)):
        if count and count < _MANY:
            yield Place(place.hierarchy, f"{place.path}{path.removeprefix(folder)}")


def _state(place: Place, own: bool) -> State:
    folder = cgroups.folder(place)
    st = os.stat(folder)
    settings = tuple(_settings(folder)) if own else ()
    return State(place, S_IMODE(st.st_mode), st.st_uid, st.st_gid, own, settings)


def _settings(folder: str) -> Iterator[Setting]:
    for name in sorted(os.listdir(folder)):
        st = os.stat(f"{folder}/{name}")
        may_set = S_ISREG(st.st_mode) and st.st_mode & 0o200 and st.st_mode & 0o400
        if name == _DEVICES or (may_set and name not in cgroup.NO_SETTING and not name.endswith(cgroup.COUNTERS)):
            try:
                value = _read(f"{folder}/{name}")
            except OSError:
                continue  # one that this kernel does not tell, so that nobody can have set it to be looked at
            if not _is_new(name, value):
                yield Setting(name, value, st.st_uid, st.st_gid)


def _is_new(name: str, value: str) -> bool:
    """Whether a new group has that as well."""
    unlimited = value in cgroup.NO_LIMIT and not name.endswith(cgroup.PROTECTIONS)
    return unlimited or value in ("", cgroup.NEW.get(name))


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 16).decode("utf-8", "surrogateescape").strip()
    finally:
        os.close(fd)


def group(file: File) -> object:
    """What tells a group from others."""
    state: State = file.state  # type: ignore[assignment]
    return tuple(state.place)


def tells(files: Sequence[File]) -> str:
    """Which groups are the tree's own."""
    states: list[State] = [file.state for file in files]  # type: ignore[misc]
    own = [f"{s.place.hierarchy or 'version 2'}:{s.place.path}" for s in states if s.own]
    if not own:
        return ""
    more = f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
    return f"a restore makes control groups where they are missing (--cgroups): {', '.join(own[:_SHOWN])}{more}"


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[int]:
    """Make a group that is not there. :raises Blocker: its hierarchy is not mounted. :raises ImageError: it is none."""
    state: State = files[0].state  # type: ignore[assignment]
    for folder in _missing(state, restore.policy):
        _make(folder, state, on)
    return [-1]


def brings(file: File, choice: Callable[[str], str]) -> Sequence[str]:
    """Its directory, if that will be made."""
    state: State = file.state  # type: ignore[assignment]
    try:
        return _missing(state, choice)
    except ReplantError:
        return ()  # which `make` tells


def _missing(state: State, choice: Callable[[str], str]) -> list[str]:
    place = cgroups.chosen(state.place, choice)
    folder = cgroups.folder(place) if place is not None else ""
    return [folder] if folder and not os.path.isdir(folder) else []


def _make(folder: str, state: State, on: Track) -> None:
    path = os.fsencode(folder) + b"\0"
    made = on.call(x86_64.mkdirat, AT_FDCWD, path, state.mode, why=f"control group {state.place.path}")
    on.undo(made, x86_64.unlinkat, AT_FDCWD, path, AT_REMOVEDIR)
    on.call(x86_64.fchmodat, AT_FDCWD, path, state.mode, why="its mode")
    for setting in sorted(state.settings, key=_order):
        if "/" in setting.name or "\0" in setting.name:
            raise ImageError(f"there is no setting {setting.name!r}", code="image-corrupt", resource=setting.name)
        for name, value in _lines(setting):
            cgroups.write(on, f"{folder}/{name}", value, f"{name} of {state.place.path}")
        if (setting.uid, setting.gid) != (0, 0):
            file = os.fsencode(f"{folder}/{setting.name}") + b"\0"
            on.call(x86_64.fchownat, AT_FDCWD, file, setting.uid, setting.gid, 0, why="who may set it")
    if (state.uid, state.gid) != (0, 0):
        on.call(x86_64.fchownat, AT_FDCWD, path, state.uid, state.gid, 0, why="its owner")


def _order(setting: Setting) -> tuple[int, str]:
    first = setting.name in cgroup.FIRST
    return (cgroup.FIRST.index(setting.name) if first else len(cgroup.FIRST), setting.name)


def _lines(setting: Setting) -> Iterator[tuple[str, str]]:
    """What to write where: what is read of a file is not always what it takes."""
    lines = setting.value.splitlines()
    if setting.name == _DEVICES:
        if setting.value != _EVERY_DEVICE:
            yield "devices.deny", "a"
            yield from (("devices.allow", line) for line in lines)
    elif setting.name == "cgroup.subtree_control":
        yield setting.name, " ".join(f"+{controller}" for controller in setting.value.split())
    elif setting.name == "cgroup.type":
        yield from ((setting.name, line) for line in lines if line == "threaded")  # others follow from that
    elif setting.name == _OOM:
        yield setting.name, lines[0].rpartition(" ")[2]
    else:
        yield from ((setting.name, line) for line in lines)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Owner and mode, and each setting by its name."""
    for field in ("mode", "uid", "gid"):
        if getattr(before, field) != getattr(after, field):
            yield f"{field} was {getattr(before, field)}, is {getattr(after, field)}"
    old, new = ({s.name: s for s in state.settings} for state in (before, after))
    for name in sorted(old.keys() | new.keys()) if before.own and after.own else ():
        if old.get(name) != new.get(name):
            yield f"{name} was {_told(old.get(name))}, is {_told(new.get(name))}"


def _told(setting: Setting | None) -> str:
    return f"{setting.value!r} of {setting.uid}:{setting.gid}" if setting else "what it is at first"
