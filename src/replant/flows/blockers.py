"""What stands against restoring an image on this host: all of it, before anything is made."""

from __future__ import annotations

import os
import time
from _functools import partial  # type: ignore[import-not-found]  # functools takes milliseconds

from replant.abi import machine
from replant.errors import Blocker, TaskGone, once
from replant.flows import old_vdso, tree
from replant.observe import procfs
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from replant.image.manifest import Manifest
    from replant.model.tree import Model
    from replant.policy import Policy

_REAPING = 5.0  # seconds that the dead whose numbers are wanted may take to go away


def foreign(manifest: Manifest) -> Iterator[Blocker]:
    """The processes of an image are of another architecture: nothing else of it has a meaning here."""
    if manifest.arch != machine.NAME:
        yield Blocker(
            f"the image is of processes of {manifest.arch}, and replant restores those of {machine.NAME}",
            code="architecture",
            resource=manifest.arch,
            hint=f"start the programs anew here: a process cannot leave its architecture ({manifest.kernel})",
        )


def blockers(model: Model, policy: Policy) -> list[Blocker]:
    """Everything that stands against restoring the tree on this host: pids taken, files changed or missing, …"""
    found = list(_taken_numbers(model))
    for check in _checks(model, policy):
        try:
            check()
        except Blocker as b:
            found.append(b)
    return list(once([*found, *old_vdso.blockers(model)]))


def _taken_numbers(model: Model) -> Iterator[Blocker]:
    until = time.monotonic() + _REAPING
    for tid in sorted(tree.numbers(model)):
        if _taken(tid, until):
            yield Blocker(
                f"the pid {tid} is taken",
                code="pid-taken",
                pid=tid,
                resource=f"pid {tid}",
                hint="wait until that process has ended, or restore with --new-pids",
            )


def _checks(model: Model, policy: Policy) -> Iterator[Callable[[], None]]:
    """What kinds look at; but for files in a directory that is yet to come."""
    bringing = registry.having("brings", model.files)
    coming = {folder for file, brings in bringing for folder in brings(file, policy.choice)}
    for file, check in registry.having("check", model.files):
        if not coming or not _is_in(getattr(file.state, "path", ""), coming):
            yield partial(check, file)
    kinds = registry.task_kinds()
    hooks = {name: registry.hook(kinds[name], "check") for name in {a.kind for a in model.attributes}}
    for a in model.attributes:
        if hooks[a.kind] is not None:
            yield partial(hooks[a.kind], a.state, a.tid)


def _is_in(path: str, folders: set[str]) -> bool:
    return path in folders or os.path.dirname(path) in folders


def _taken(number: int, until: float) -> bool:
    """Whether a task or a group has that number; the dead are waited for, since an init may reap lazily."""
    while True:
        try:
            if procfs.stat(number).state not in "ZX":
                return True
        except TaskGone:
            if not _is_group(number):
                return False
            if _has_living_member(number):
                return True
        if time.monotonic() > until:
            return True
        time.sleep(0.001)


def _is_group(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def _has_living_member(group: int) -> bool:
    """Whether a process of that group or session is no zombie, so that there is nothing to wait for."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = procfs.stat(int(name))
            except TaskGone:
                continue
            if group in (stat.pgrp, stat.session) and stat.state not in "ZX":
                return True
    return False


def clock_blockers(model: Model, policy: Policy) -> Iterator[Blocker]:
    """CLOCK_MONOTONIC must not run backwards for the tree, as it would after another boot; unless the user lets it."""
    behind = model.clock - time.monotonic_ns()
    if behind > 0 and policy.choice("clock") != "back":
        yield Blocker(
            f"the monotonic clock is {behind / 1e9:.0f} s behind what the tree has seen of it: another boot",
            code="clock",
            resource="CLOCK_MONOTONIC",
            hint="restore it in a time namespace with that offset (unshare --time --monotonic), or use --clock back",
        )
