"""replant: checkpoint and restore Linux process trees.

``replant.dump(pid, "img")`` saves a tree, ``replant.restore("img")`` makes it again; `check`, `inspect`, `plan` and
`diff` look without changing anything. What goes wrong is a `ReplantError`.

Names are loaded at first use, so that ``import replant`` and a command's start cost next to nothing.
"""

from __future__ import annotations

from replant._load import install as _install

_install()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant._version import __version__
    from replant.errors import Blocker, Bug, ImageError, Refused, ReplantError, TaskGone, UsageError
    from replant.flows.capture import inspect
    from replant.flows.check import check
    from replant.flows.diff import diff
    from replant.flows.dump import dump
    from replant.flows.plan import plan
    from replant.flows.restore import restore
    from replant.policy import Policy

_HOMES = {
    "replant._version": ("__version__",),
    "replant.errors": ("Blocker", "Bug", "ImageError", "Refused", "ReplantError", "TaskGone", "UsageError"),
    "replant.flows.capture": ("inspect",),
    "replant.flows.check": ("check",),
    "replant.flows.diff": ("diff",),
    "replant.flows.dump": ("dump",),
    "replant.flows.plan": ("plan",),
    "replant.flows.restore": ("restore",),
    "replant.policy": ("Policy",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Blocker",
    "Bug",
    "ImageError",
    "Policy",
    "Refused",
    "ReplantError",
    "TaskGone",
    "UsageError",
    "__version__",
    "check",
    "diff",
    "dump",
    "inspect",
    "plan",
    "restore",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'replant' has no attribute {name!r}")
    value: object = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
