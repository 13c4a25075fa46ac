"""The conductor of ``replant check``: what is in the way, all of it, before anything is touched."""

from __future__ import annotations

from replant.errors import Blocker, Refused
from replant.policy import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.host import Feature
    from replant.image.manifest import Manifest
    from replant.policy import Policy


class Report:
    """What a check found: ``features`` of the host, or ``blockers`` of a tree or an image."""

    __slots__ = ("blockers", "features", "target")

    def __init__(
        self, target: int | str, features: tuple[Feature, ...] = (), blockers: tuple[Blocker, ...] = ()
    ) -> None:
        self.target = target
        self.features = features
        self.blockers = blockers

    @property
    def ok(self) -> bool:
        """Whether nothing is in the way."""
        return not self.blockers and all(f.present for f in self.features if f.required)

    def as_dict(self) -> dict[str, object]:
        """The report as it stands in the answer to ``--json``."""
        return {
            "target": self.target,
            "ok": self.ok,
            "features": [f.as_dict() for f in self.features],
            "blockers": [b.as_dict() for b in self.blockers],
        }


def check(target: int | str | None = None, *, policy: Policy = DEFAULT) -> Report:
    """Whether this host (None), the tree below a pid, or the image at a path is ready to be dumped or restored.

    ``policy`` are the choices with which the tree would be dumped, or the image restored.

    :raises ReplantError: the target cannot be looked at: no such process, no such image, an image that is damaged.
    """
    if target is None:
        from replant.host import probe

        return Report("host", features=probe().features)
    if isinstance(target, int):
        return Report(target, blockers=_tree(target, policy))
    return Report(target, blockers=_image(target, policy))


def _tree(pid: int, policy: Policy) -> tuple[Blocker, ...]:
    from replant.flows.capture import look

    try:
        look(pid, policy)
    except Refused as refused:
        return refused.blockers
    return ()


def _image(path: str, policy: Policy) -> tuple[Blocker, ...]:
    from replant.flows.blockers import blockers, clock_blockers, foreign
    from replant.flows.restore import adapted
    from replant.image.container import open_image
    from replant.resources import registry

    with open_image(path) as image:
        if found := tuple(foreign(image.manifest)):
            return found
        model = adapted(image.model(registry.state_class), policy)
        image.verify()
        return (*_host(image.manifest), *blockers(model, policy), *clock_blockers(model, policy))


def _host(manifest: Manifest) -> Iterator[Blocker]:
    """What this host lacks for an image."""
    from replant.host import probe

    host = probe()
    for feature in host.missing():
        yield Blocker(
            f"this host lacks {feature.name} ({feature.detail}), needed for {feature.serves}",
            code=f"host-{feature.name}",
            resource=feature.name,
            hint=feature.fix,
        )
    if lacking := manifest.xfeatures & ~host.xfeatures:
        yield Blocker(
            f"the saved registers use components {lacking:#x} of the extended state, which this CPU does not have",
            code="cpu-features",
            resource="xstate",
            hint="restore on a CPU with these features, or run the program where it was started without them",
        )
