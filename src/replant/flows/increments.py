"""Dumps that save only what has changed since an earlier image of the same tree."""

from __future__ import annotations

import os
from array import array

from replant.errors import ReplantError
from replant.flows.saving import Known
from replant.flows.tracking import Tracking
from replant.image.container import open_image
from replant.image.manifest import Parent
from replant.image.remote import is_url
from replant.journal import WARNING, current, site
from replant.model.invariants import GUARD
from replant.model.places import MOST_PARENTS, one_further, split
from replant.pages.scan import since
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from replant.image.container import Image
    from replant.model.tree import Mm
    from replant.pages.scan import Scan
    from replant.tracee.task import FrozenTask

_UNKNOWN = site("track", "nobody knows what process %p has changed since %s: everything is saved", level=WARNING)


class Increment(Known):
    """What the image ``parent`` of the tree below ``root`` has (nothing, if it is ``""``), and whether to ``track`` on.

    :raises ImageError: the parent cannot be used. :raises ReplantError: it is of another tree or moment.
    """

    def __init__(self, root: int, parent: str, track: bool, output: str) -> None:
        self._track = track
        self._tracking = Tracking.find(root)
        self._rows: dict[int, bytes] = {}
        self._lineage: list[tuple[str, str, int]] = []
        try:
            if parent:
                _refuse_far(parent, output)
                with open_image(parent) as image:
                    self._build_on(image, root, os.path.realpath(output))
        except BaseException:
            self._tracking.__exit__()
            raise

    def _build_on(self, image: Image, root: int, output: str) -> None:
        images = [image, *image.parents()]
        self._lineage = [(os.path.realpath(i.path), i.identity, i.pages_size) for i in images]
        _refuse_replacing([path for path, _, _ in self._lineage], output)
        model = image.model(registry.state_class)
        if model.root != root:
            raise _wrong_parent(image.path, f"it is an image of the tree of {model.root}, not of {root}")
        if self._tracking.base not in ("", image.identity):
            raise _wrong_parent(image.path, f"changes are tracked since the image {self._tracking.path}")
        if not self._tracking.base or len(images) > MOST_PARENTS:
            _UNKNOWN(current(), root, image.path)
            return
        self._rows = {mm.pid: _further(mm.runs) for mm in model.mms if mm.pid in self._tracking.fds}

    def scans(self, mms: Iterable[Mm]) -> dict[int, Scan]:
        """Scans of the processes that were tracked; what their parent has need not be saved."""
        found = {}
        with current().phase("scan"):
            self._tracking.forget_if_another_began()
            for mm in mms:
                if mm.pid in self._rows and mm.pid in self._tracking.fds:
                    try:
                        found[mm.pid] = since(mm.pid, mm.vmas, self._rows[mm.pid], self._tracking.foreign(mm))
                    except OSError:  # the address space that was tracked is gone: execve(2)
                        continue
        return found

    def begin(self, tasks: Mapping[int, FrozenTask], mms: Sequence[Mm]) -> None:
        """Track from now on, if that is wished."""
        if self._track:
            with current().phase("track"):
                self._tracking.begin(tasks, mms)

    def parents(self, mms: Iterable[Mm], image: str) -> tuple[Parent, ...]:
        """The parent and its parents, up to the last one that is used."""
        used = max((split(at)[0] for mm in mms for at in array("Q", mm.runs)[2::3] if at != GUARD), default=0)
        return tuple(Parent(os.path.relpath(path, image), name, size) for path, name, size in self._lineage[:used])

    def finish(self, identity: str, image: str) -> None:
        """Let the tracking be held from here to the next dump."""
        if self._track:
            self._tracking.hand_over(identity, image)

    def __exit__(self, *_: object) -> None:
        self._tracking.__exit__()


def _further(runs: bytes) -> bytes:
    """The saved pages of a parent as an image refers to them that builds on it."""
    rows = array("Q", runs)
    rows[2::3] = array("Q", [at if at == GUARD else one_further(at) for at in rows[2::3]])
    return rows.tobytes()


def _refuse_far(parent: str, output: str) -> None:
    """An image refers to its parents by paths from its own directory."""
    for path in (parent, output):
        if is_url(path):
            raise ReplantError(
                f"{path} is no directory here: an incremental image and its parent must be, to find each other",
                code="wrong-parent",
                resource=path,
                hint="dump both to directories; replant image merge makes one image of them that can go anywhere",
            )


def _refuse_replacing(lineage: Sequence[str], output: str) -> None:
    if output in lineage:
        raise ReplantError(
            f"{output} cannot be replaced by an image that builds on it",
            code="image-in-use",
            resource=output,
            hint="choose another name for the new image",
        )


def _wrong_parent(path: str, why: str) -> ReplantError:
    return ReplantError(
        f"the image {path} cannot be the parent: {why}",
        code="wrong-parent",
        resource=path,
        hint="name the image of the last dump with --track, or dump everything: without --parent",
    )
