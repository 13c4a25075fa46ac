"""The restore: read and check the image, compare with the host, then make the tree in a worker (`flows.making`).

Whatever fails, everything made is undone. All problems of the host are told at once, before anything is made.
"""

from __future__ import annotations

import os
import time
from _functools import partial  # type: ignore[import-not-found]  # functools takes milliseconds

from replant.abi import machine
from replant.errors import Refused
from replant.execute import worker
from replant.flows import moving, tree
from replant.flows.blockers import blockers, clock_blockers, foreign
from replant.flows.making import make
from replant.flows.recording import Recording
from replant.image.container import open_image
from replant.image.remote import absolute, is_url
from replant.journal import current
from replant.model.frozen import Frozen
from replant.policy import DEFAULT
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from replant.execute.worker import Answer
    from replant.flows.lazily import Lazy
    from replant.image.container import Image
    from replant.journal.lane import Phase
    from replant.model.tree import Model
    from replant.policy import Policy

    Split = Callable[[Image, Model], Lazy]


class RestoreReport(Frozen):
    """What a restore did; the time in milliseconds.

    ``root_pid`` is the number of the root here, ``inner_pid`` the one that the tree knows: another one in a pid
    namespace of its own, whose init is ``init_pid`` (0: it is in ours). ``pids`` are those that the tree knows.
    ``bytes_later``: of memory that a lazy restore has still to bring. ``notes``: what was done besides, in words.
    """

    root_pid: int
    tasks: int
    total_ms: float
    pids: tuple[int, ...]
    inner_pid: int
    init_pid: int = 0
    bytes_later: int = 0
    notes: tuple[str, ...] = ()


def restore(
    image: str,
    *,
    detach: bool = True,
    stop: bool = False,
    new_pids: bool = False,
    lazy: bool = False,
    working_set: str = "",
    pidfile: str | None = None,
    journal: str = "",
    policy: Policy = DEFAULT,
) -> RestoreReport:
    """Make the tree of ``image`` again, with the same pids; returns once all its tasks run.

    The tree belongs to init, or to the nearest process that called PR_SET_CHILD_SUBREAPER: a caller that wants to wait
    for the root (``detach=False`` of the command) makes itself one before. With ``new_pids`` the tree is in a pid
    namespace of its own, with a /proc of its own, and what such a caller has is the namespace's init, which ends as
    the root ends. ``lazy``: pages come when they are touched and in the background, brought by a process that ends when
    all are there; what is touched first is noted in ``working_set`` (by default ``IMAGE.working-set``; ``"null"``: not)
    and comes first the next time. ``journal``: a file that shall keep the journal, which is otherwise kept, in a
    directory of its own, only if the restore fails.

    :raises Refused: it cannot be restored here; all blockers are listed, nothing was made.
    :raises ReplantError: the restore failed; everything made is undone.
    """
    machine.require()
    began = time.perf_counter_ns()
    with Recording("restore", wanted=journal) as trace:
        later = partial(_later, working_set, not detach) if lazy else None
        work = partial(_work, absolute(image), stop, later, policy, trace.journal.phase)
        done = _nested(work) if new_pids else work()
    root, pids, bytes_later, notes = done["root"], done["pids"], done["later"], done["notes"]
    assert isinstance(root, int) and isinstance(pids, tuple) and isinstance(bytes_later, int)
    assert isinstance(notes, tuple)
    outer, init = done.get("outer", root), done.get("init", 0)
    assert isinstance(outer, int) and isinstance(init, int)
    if pidfile:
        _write_pidfile(pidfile, outer)
    total = (time.perf_counter_ns() - began) / 1e6
    return RestoreReport(outer, len(pids), total, pids, root, init, bytes_later, notes)


def _nested(work: Callable[[], Answer]) -> Answer:
    from replant.execute import nest

    return nest.fresh(work)


def _begin_above(number: int) -> None:
    from replant.execute import nest

    nest.begin_above(number)


def _work(image: str, stop: bool, split: Split | None, policy: Policy, phase: Callable[[str], Phase]) -> Answer:
    model, later, notes = _restore(image, stop, split, policy, phase)
    return {"root": model.root, "pids": tuple(t.pid for t in model.tasks), "later": later, "notes": notes}


def _restore(
    image: str, stop: bool, split: Split | None, policy: Policy, phase: Callable[[str], Phase]
) -> tuple[Model, int, tuple[str, ...]]:
    with phase("open"):
        opened = open_image(image)
    try:
        with phase("read"):
            if found := tuple(foreign(opened.manifest)):
                raise Refused(f"{opened.path} cannot be restored here", found)
            model = adapted(opened.model(registry.state_class), policy)
            opened.parents()
        with phase("check"):
            _check(model, split is not None, policy)
            notes = tuple(registry.told(model.files, "warns"))
        with phase("restore"):
            later = split(opened, model) if split else _unfolding(opened, model) if opened.framed else None
            work, numbers = partial(make, opened, model, stop, policy, later), tree.numbers(model)
            if os.getpid() == 1:
                _begin_above(max(numbers))
            worker.run(work, meanwhile=partial(_verify, opened, later), avoid=numbers)
    finally:
        opened.close()
    return model, later.bytes if later else 0, notes


def _later(working_set: str, words: bool, opened: Image, model: Model) -> Lazy:
    from replant.flows.lazily import Lazy

    beside = "null" if is_url(opened.path) else f"{os.path.realpath(opened.path)}.working-set"
    path = working_set or beside
    return Lazy(opened, model, path if path != "null" else "", words)


def _unfolding(opened: Image, model: Model) -> Lazy | None:
    from replant.flows import lazily

    return None if lazily.blocker() else lazily.Unfolding(opened, model)


def _verify(opened: Image, later: Lazy | None) -> None:
    with current().phase("verify"):
        opened.verify(later.blocks() if later else ())


def adapted(model: Model, policy: Policy) -> Model:
    """The model as the user's choices change it."""
    adapting = registry.having("adapt", model.files)
    changed = {file.number: file._replace(state=adapt(file.state, policy.choice)) for file, adapt in adapting}
    files = [changed.get(file.number, file) for file in model.files]
    moves = moving.pairs(policy)
    return model._replace(files=tuple(moving.moved(files, moves) if moves else files))


def _check(model: Model, lazy: bool, policy: Policy) -> None:
    found = [*blockers(model, policy), *clock_blockers(model, policy)]
    if lazy:
        from replant.flows import lazily

        found += filter(None, [lazily.blocker()])
    if found:
        raise Refused(f"the tree of {model.root} cannot be restored here", found)


def _write_pidfile(path: str, pid: int) -> None:
    with open(path, "w") as f:
        f.write(f"{pid}\n")
