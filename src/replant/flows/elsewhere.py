"""Trees in a pid namespace of their own, as ``restore --new-pids`` makes them: they are looked at from inside.

There every number is the one that the tree knows, and that its image will have. What is handed back is data.
"""

from __future__ import annotations

import os

from replant.errors import Blocker, Refused, ReplantError
from replant.observe import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from replant.execute.worker import Answer
    from replant.flows.dump import DumpReport
    from replant.model.tree import Model


def number(pid: int) -> int:
    """The number of process ``pid`` in a pid namespace below ours that can be entered; 0 if there is none.

    :raises Refused: it is the first process there.
    """
    inside = _inner(pid)
    if inside == 1:
        blocker = Blocker(
            f"process {pid} is the first of its pid namespace, which lives and dies with it",
            code="namespace-init",
            pid=pid,
            resource="pid namespace",
            hint="dump the process below it that is the root of what you want to keep",
        )
        raise Refused(f"the tree of {pid} cannot be dumped", [blocker])
    return inside


def _inner(pid: int) -> int:
    """As `number`. Only where mounts are ours, but for /proc: what differed would be lost in silence."""
    try:
        if _namespace(pid) == _namespace(os.getpid()):
            return 0
        numbers = procfs.status(pid).ns_pid
        return numbers[-1] if len(numbers) > 1 and _mounts(pid) == _mounts(os.getpid()) else 0
    except (OSError, ReplantError):
        return 0  # whoever looks at it next will say so


def _namespace(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/pid").st_ino


def _mounts(pid: int) -> list[tuple[object, ...]]:
    mounts = [(m.dev, m.root, m.mountpoint, m.fstype, m.options) for m in procfs.mountinfo(pid)]
    return sorted(m for m in mounts if not f"{m[2]}/".startswith("/proc/"))


def look(pid: int, look_here: Callable[[], Model]) -> Model:
    """What ``look_here`` finds in the namespaces of process ``pid``; its contents go where it puts them."""
    from replant.execute import nest
    from replant.image import codec
    from replant.resources import registry

    def work() -> Answer:
        data, blobs = codec.encode(look_here())
        return {"data": data, "blobs": blobs}

    answer = nest.entered(pid, work, "look")
    return codec.decode(answer["data"], answer["blobs"], registry.state_class)  # type: ignore[arg-type]


def report(pid: int, dump_there: Callable[[], DumpReport], kill: bool) -> DumpReport:
    """The report of a dump that is done in the namespaces of process ``pid``.

    With ``kill`` the namespace's init waits: it may end, and the namespace with it, when it learns of the tree's end.
    """
    from replant.execute import nest

    def work() -> Answer:
        if kill:
            nest.hold_init()
        report = dump_there()
        return dict(zip(report._fields, report, strict=True))

    from replant.flows.dump import DumpReport

    fields = nest.entered(pid, work, "dump")
    return DumpReport(**{**fields, "root_pid": pid})  # type: ignore[arg-type]
