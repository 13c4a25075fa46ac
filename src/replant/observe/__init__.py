"""Everything about processes, fast: facts are declared once, and several sources of the kernel give them.

:class:`~.observer.Observer` is the way in. :mod:`.facts` declares what there is to know of tasks, mappings and files,
:mod:`.sockets` and :mod:`.procfs.mounts` add sockets and mounts. :mod:`.bpf` and :mod:`.procfs_source` are the
sources, :mod:`.crosscheck` compares them, :mod:`.rights` says who may know. :mod:`.frozen` shows a stopped tree as
:mod:`.procfs` would.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .facts import File, Task, Vma
    from .field import MISSING
    from .frozen import Frozen
    from .observer import Observer, Seen
    from .sockets import Diag

_WHERE = {
    "File": "facts",
    "Task": "facts",
    "Vma": "facts",
    "MISSING": "field",
    "Frozen": "frozen",
    "Observer": "observer",
    "Seen": "observer",
    "Diag": "sockets",
}

__all__ = ["MISSING", "Diag", "File", "Frozen", "Observer", "Seen", "Task", "Vma"]


def __getattr__(name: str) -> object:
    # only what is used is imported: a small dump reads procfs and nothing else of this package
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = __import__(f"{__name__}.{_WHERE[name]}", fromlist=[name])
    return getattr(module, name)
