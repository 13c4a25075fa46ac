"""The label that a security module gives a task: AppArmor profile, SELinux context (``/proc/PID/attr``).

A label cannot be chosen for another task, and to change one's own needs a rule in the policy. So it is kept where the
restorer bears the same one, which its stubs inherit (as in a container, or under ``aa-exec``, ``runcon``), and refused
elsewhere. Labels that a task has asked for what it makes next (exec, files, sockets, keys) are refused.
"""

from __future__ import annotations

from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
LIKE = ("cred_key",)
ASKS: tuple[Call, ...] = ()

_PROC = "/proc"
_NEXT = ("exec", "fscreate", "sockcreate", "keycreate")
_own: list[str] = []


class State(Frozen):
    """As ``attr/current`` shows it."""

    label: str


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: no security module labels tasks. :raises Blocker: it has asked for a label of what it makes next."""
    if not _ours():
        return None
    folder = f"{_PROC}/{t.pid}/task/{t.tid}/attr"
    for name in _NEXT:
        if label := _text(f"{folder}/{name}"):
            raise Blocker(
                f"task {t.tid} has asked for the label {label} ({name})",
                code="security-label",
                pid=t.tid,
                resource=f"attr/{name}",
                hint="let the program take that back, or dump it later",
            )
    return State(_text(f"{folder}/current"))


def _ours() -> str:
    if not _own:
        _own.append(_text(f"{_PROC}/self/attr/current"))
    return _own[0]


def _text(path: str) -> str:
    """The label in a file; "" where there is none, or no module that has one (EINVAL)."""
    try:
        with open(path, "rb") as file:
            return file.read().rstrip(b"\0\n").decode(errors="replace")
    except OSError:
        return ""


def check(state: State, tid: int) -> None:
    """:raises Blocker: the restorer bears another label."""
    if state.label != _ours():
        raise Blocker(
            f"task {tid} had the security label {state.label}, and the restore has {_ours() or 'none'}",
            code="security-label",
            pid=tid,
            resource="attr/current",
            hint="run the restore under that label: aa-exec -p PROFILE, or runcon CONTEXT",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing: stubs have the restorer's."""
