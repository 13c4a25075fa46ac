"""Regular files that have a name: opened again by path, contents stay on disk.

If the name by which a file was opened is gone while other links are left, one of those is looked for around it.

The file itself is not part of an image. At restore it must be there, and must be what the program knows: of the same
size and modification time; a file that is only appended to may have grown meanwhile. Programs and libraries are told
apart by their build ID, if they have one: that must be the same, and then the time does not matter.

Files that the user chose (``--files embed``) are in the image all the same, and are put back if they are gone or have
changed; what they had become is kept under another name.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from replant.abi import fcntl
from replant.model.frozen import Frozen
from replant.resources.shared import compare, embed, filesystem, locks
from replant.resources.shared.build_id import build_id
from replant.resources.shared.opening import by_last_name, named
from replant.resources.shared.refusal import hinder, refuse
from replant.resources.shared.search import last_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = True
_SHOWN = 3


class State(Frozen):
    """Name and identity (stat(2)); ``size`` and ``mtime_ns`` tell at restore whether it is unchanged.

    ``shown``: the name by which it was opened, if that is gone and ``path`` another link. ``build_id``: that of a
    program or library that is mapped, if it has one. ``generated``: by sysfs and the like, so that size and time say
    nothing. ``embedded``: the image has the file, in the State of one of its
    descriptions that has ``content``.
    """

    path: str
    dev: int
    ino: int
    mode: int
    size: int
    mtime_ns: int
    shown: str = ""
    build_id: bytes = b""
    generated: bool = False
    embedded: bool = False
    content: embed.Content | None = None
    locks: tuple[locks.Lock, ...] = ()


def claims(f: FileFacts) -> bool:
    """A regular file with at least one link, whether or not its name is still the one it was opened by."""
    return S_ISREG(f.mode) and f.nlink > 0


def read(f: FileFacts, dump: DumpSide) -> State:
    """Name and identity. :raises Blocker: the name stands for another file now, or a lock is held."""
    path = named(f)
    st = os.stat(path)
    program = build_id(path) if f.fd < 0 else b""
    shown = last_name(f) if path != f.link else ""
    held = locks.read(f, dump)
    kind = filesystem.magic(path)
    if kind in filesystem.TRACING:
        why = f"what it traces cannot be kept ({filesystem.TRACING[kind]})"
        raise refuse(f, why, "let the program close it, and open it again afterwards", "tracing")
    state = State(path, f.dev, f.ino, f.mode, f.size, st.st_mtime_ns, shown, program, locks=held)
    if kind in filesystem.GENERATED:
        return state._replace(size=0, mtime_ns=0, generated=True)
    if not embed.chosen(f, path, dump):
        return state
    if any(lock.kind == "LEASE" and lock.write for lock in held):
        raise refuse(f, "a lease keeps others from reading it", "let the program give it up", "lease")
    return state._replace(embedded=True, content=embed.content(f, path, dump))


def tells(files: Sequence[File]) -> str:
    """What is embedded."""
    states = [s for s in map(_state, files) if s.content is not None]
    if not states:
        return ""
    what = "a file goes" if len(states) == 1 else f"{len(states)} files go"
    return f"{what} into the image, {sum(s.size for s in states)} bytes: {_some([s.path for s in states])}"


def warns(files: Sequence[File]) -> str:
    """What is put back."""
    states = [s for s in map(_state, files) if s.content is not None]
    fates = {s.path: embed.fate(s.path, s.size, s.mtime_ns) for s in states}
    gone, changed = ([path for path, fate in fates.items() if fate == word] for word in ("missing", "changed"))
    lines = [f"put back from the image: {_some(gone)}"] if gone else []
    if changed:
        lines.append(f"put back from the image, what was there is kept as *.before-restore: {_some(changed)}")
    return "; ".join(lines)


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")


def group(file: File) -> object:
    """Descriptions of one inode, which is put back once."""
    return (_state(file).dev, _state(file).ino)


def check(file: File) -> None:
    """:raises Blocker: the file is gone, or changed in a way that the program would notice."""
    state = _state(file)
    if state.embedded:
        return
    try:
        found = os.stat(state.path)
    except OSError as error:
        raise hinder(file, state.path, error.strerror or "gone", "put the file back", "file-gone") from None
    if not S_ISREG(found.st_mode):
        raise hinder(file, state.path, "it was a regular file and is none now", "put the file back")
    if state.generated:
        return
    if _only_appended(file.flags) and found.st_size >= state.size:
        return
    if found.st_size != state.size:
        why = f"it had {state.size} bytes when the image was made and has {found.st_size} now"
        raise hinder(file, state.path, why, "put the file back as it was")
    if state.build_id:
        if build_id(state.path) != state.build_id:
            why = f"it is not the program with the build ID {state.build_id.hex()}"
            raise hinder(file, state.path, why, "install the version that was running")
    elif found.st_mtime_ns != state.mtime_ns:
        why = "it was modified after the image was made"
        raise hinder(file, state.path, why, "put the file back as it was, its modification time included")


def _state(file: File) -> State:
    assert isinstance(file.state, State)
    return file.state


def _only_appended(flags: int) -> bool:
    return bool(flags & fcntl.O_APPEND) and flags & fcntl.O_ACCMODE == fcntl.O_WRONLY


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Open the path; nothing is ever created or truncated, but for what is put back from the image."""
    for state in map(_state, files):
        if state.content is not None:
            embed.put_back(state.path, state.mode, state.size, state.mtime_ns, state.content, on, restore)
    return [
        by_last_name(on, s.path, s.shown, f.flags, "regular file")
        for f, s in zip(files, map(_state, files), strict=True)
    ]


def attach(file: File, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the locks of the description again."""
    locks.take(_state(file).locks, fd, on)


def settle_in(file: File, pid: int, fd: int, on: Track, restore: RestoreSide) -> None:
    """Take the record locks of the process again, when nothing closes a descriptor of the file any more."""
    locks.take_last(_state(file).locks, pid, fd, on)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Identity and locks; size and time change as the program and others write, a name that is gone is a memory."""
    another = ("dev", "ino") if before.embedded or before.generated else ()
    return compare.fields(before, after, ("shown", "size", "mtime_ns", "embedded", "content", *another))


def moved(state: State, to: Callable[[str], str]) -> State:
    """Both of its names move."""
    return state._replace(path=to(state.path), shown=to(state.shown) if state.shown else "")
