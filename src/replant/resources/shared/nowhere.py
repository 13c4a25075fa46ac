"""An empty file system, mounted nowhere: for what has the name of a file that is gone, and for nobody to see.

It lasts as long as somebody has something of it open.
"""

from __future__ import annotations

from replant.abi import fcntl, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track

_EEXIST = 17
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6


def with_folders(on: Track, path: str) -> tuple[Slot, bytes]:
    """A new one with the directories of ``path`` in it: its top, and the path from there."""
    context = on.call(x86_64.fsopen, b"tmpfs\0", _FSOPEN_CLOEXEC, why="an empty file system, mounted nowhere")
    on.call(x86_64.fsconfig, context, _FSCONFIG_CMD_CREATE, 0, 0, 0)
    top = on.call(x86_64.fsmount, context, _FSMOUNT_CLOEXEC, 0)
    on.call(x86_64.close, context)
    inside = path.lstrip("/")  # an absolute path would lead out
    for end in [at for at, letter in enumerate(inside) if letter == "/"]:
        on.call(x86_64.mkdirat, top, fcntl.cstring(inside[:end]), 0o700, why="its directory", ok=(_EEXIST,))
    return top, fcntl.cstring(inside)
