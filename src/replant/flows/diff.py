"""What differs between two trees, images or live processes: the definition of "does not notice".

Every kind says when two of its States are the same after some time (``same``); kinds without a word of their own are
the same when every field is equal. Contents are compared by what they are, not by where a store keeps them.
"""

from __future__ import annotations

import os
from hashlib import blake2b

from replant.image.container import open_image
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.pages.store import PageReader
from replant.policy import Policy
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from replant.model.tree import Descriptor, File, Mm, Model, Vma


# a look takes nothing away, so that what a dump would want to be asked about is no obstacle
_LENIENT = Policy({"locks": "keep", "outside": "close", "pending": "skip", "peers": "close"})


class Difference(Frozen):
    """One difference: ``where`` (``task 12``, ``task 12 fd 3``), the kind of object, and what, in words."""

    where: str
    kind: str
    what: str


class Side:
    """A model and the store that has its contents."""

    def __init__(self, model: Model, pages: PageReader) -> None:
        self.model = model
        self.pages = pages

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.pages.fd)

    def state(self, state: Frozen) -> Frozen:
        """The State with each extent replaced by a digest of its bytes."""
        return type(state)(*map(self._plain, state))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Extent):
            digest = blake2b(self.pages.load(value), digest_size=16).hexdigest()
            return Extent(value.offset, value.length, int(digest[:15], 16))
        if isinstance(value, Frozen):
            return self.state(value)
        if isinstance(value, tuple):
            return tuple(self._plain(v) for v in value)
        return value


def diff(a: str | int, b: str | int) -> list[Difference]:
    """What differs between two trees, each an image (a path) or a live process (a pid)."""
    with _side(a) as before, _side(b) as after:
        return compare(before, after)


def _side(what: str | int) -> Side:
    if isinstance(what, int):
        from replant.flows.capture import look

        return Side(*look(what, _LENIENT))
    image = open_image(what)
    return Side(image.model(registry.state_class), PageReader(image.pages_fd))


def compare(a: Side, b: Side) -> list[Difference]:
    """All differences from ``a`` to ``b``, in the order of the tree."""
    elapsed = b.model.clock - a.model.clock
    return [
        *_tasks(a.model, b.model),
        *_memory(a.model, b.model),
        *_descriptors(a, b, elapsed),
        *_standing(a, b, elapsed),
        *_attributes(a, b, elapsed),
    ]


def fields(before: Frozen, after: Frozen, but: Iterable[str] = ()) -> list[str]:
    """Every field that is not equal, in words."""
    if type(before) is not type(after):
        return [f"was a {type(before).__name__}, is a {type(after).__name__}"]
    rows = zip(before._fields, before, after, strict=True)
    return [f"{n} was {_short(x)}, is {_short(y)}" for n, x, y in rows if x != y and n not in but]


def _short(value: object) -> str:
    text = f"{value:#x}" if type(value) is int and value > 0xFFFF else repr(value)
    return text if len(text) < 80 else text[:77] + "…"


def _tasks(a: Model, b: Model) -> Iterable[Difference]:
    old, new = {t.pid: t for t in a.tasks}, {t.pid: t for t in b.tasks}
    for pid in sorted(old.keys() | new.keys()):
        if pid not in new or pid not in old:
            yield Difference(f"task {pid}", "task", "is gone" if pid in old else "is new")
            continue
        for what in fields(old[pid], new[pid], but=("cwd", "root", "exe")):
            yield Difference(f"task {pid}", "task", what)


def _memory(a: Model, b: Model) -> Iterable[Difference]:
    old, new = {m.pid: m for m in a.mms}, {m.pid: m for m in b.mms}
    for pid in sorted(old.keys() & new.keys()):
        yield from _mappings(old[pid], new[pid])


def _mappings(a: Mm, b: Mm) -> Iterable[Difference]:
    old, new = ({v.start: v for v in _merged(mm.vmas)} for mm in (a, b))
    for start in sorted(old.keys() | new.keys()):
        where = f"task {a.pid} mapping {start:x}"
        if start not in new or start not in old:
            yield Difference(where, "mapping", "is gone" if start in old else "is new")
            continue
        for what in fields(old[start], new[start], but=("file",)):
            yield Difference(where, old[start].kind, what)


def _merged(vmas: Iterable[Vma]) -> list[Vma]:
    """Neighbours that are alike as one mapping: whether the kernel joins them depends on who wrote to which first."""
    found: list[Vma] = []
    for vma in vmas:
        last = found[-1] if found else vma
        offset = last.offset + last.end - last.start if vma.kind == "file" else 0
        alike = last._replace(start=vma.start, end=vma.end, offset=offset)
        if found and last.end == vma.start and alike == vma and vma.kind != "vdso":
            found[-1] = last._replace(end=vma.end)
        else:
            found.append(vma)
    return found


def _descriptors(a: Side, b: Side, elapsed: int) -> Iterable[Difference]:
    """Descriptors by number; that two of them share a description is compared by pairing the descriptions."""
    old, new = _by_fd(a.model), _by_fd(b.model)
    paired: dict[int, int] = {}
    for pid, fd in sorted(old.keys() | new.keys()):
        where = f"task {pid} fd {fd}"
        before, after = old.get((pid, fd)), new.get((pid, fd))
        if before is None or after is None:
            yield Difference(where, "descriptor", "is gone" if before else "is new")
            continue
        if before.cloexec != after.cloexec:
            yield Difference(where, "descriptor", f"close-on-exec was {before.cloexec}, is {after.cloexec}")
        if before.file in paired:
            if paired[before.file] != after.file:
                yield Difference(where, "descriptor", "no longer shares its file description")
            continue
        if after.file in paired.values():
            yield Difference(where, "descriptor", "shares a file description that it did not share")
        paired[before.file] = after.file
        yield from _file(where, a, b, a.model.files[before.file], b.model.files[after.file], elapsed)


def _standing(a: Side, b: Side, elapsed: int) -> Iterable[Difference]:
    """Objects behind no descriptor, by what their kind tells them apart by."""
    old, new = _objects(a.model), _objects(b.model)
    for name, key in sorted(old.keys() | new.keys(), key=str):
        before, after = old.get((name, key)), new.get((name, key))
        if before is None or after is None:
            yield Difference(f"{name} {key}", name, "is gone" if before else "is new")
            continue
        for what in _same(registry.file_kind(name), a.state(before.state), b.state(after.state), elapsed):
            yield Difference(f"{name} {key}", name, what)


def _objects(model: Model) -> dict[tuple[str, object], File]:
    kinds = [(file, registry.file_kind(file.kind)) for file in model.files]
    standing = [(f, registry.hook(k, "group")) for f, k in kinds if registry.hook(k, "DESCRIPTOR") is False]
    return {(f.kind, group(f)): f for f, group in standing}


def _file(where: str, a: Side, b: Side, old: File, new: File, elapsed: int) -> Iterable[Difference]:
    if old.kind != new.kind:
        yield Difference(where, old.kind, f"is now of kind {new.kind}")
        return
    for what in fields(old, new, but=("number", "kind", "state")):
        yield Difference(where, old.kind, what)
    for what in _same(registry.file_kind(old.kind), a.state(old.state), b.state(new.state), elapsed):
        yield Difference(where, old.kind, what)


def _attributes(a: Side, b: Side, elapsed: int) -> Iterable[Difference]:
    old = {(x.tid, x.kind): a.state(x.state) for x in a.model.attributes}
    new = {(x.tid, x.kind): b.state(x.state) for x in b.model.attributes}
    both = _alive(a.model) & _alive(b.model)
    for tid, name in sorted(key for key in old.keys() | new.keys() if key[0] in both):
        kind, before, after = registry.task_kinds()[name], old.get((tid, name)), new.get((tid, name))
        if (before is None or after is None) and not hasattr(kind, "same"):
            yield Difference(f"task {tid}", name, f"was {before}, is {after}")
            continue
        for what in _same(kind, before, after, elapsed):
            yield Difference(f"task {tid}", name, what)


def _alive(model: Model) -> set[int]:
    return {tid for t in model.tasks if t.state != "Z" for tid in t.threads}


def _same(kind: object, before: Any, after: Any, elapsed: int) -> Iterable[str]:
    same = getattr(kind, "same", None)
    return same(before, after, elapsed) if same is not None else fields(before, after)


def _by_fd(model: Model) -> dict[tuple[int, int], Descriptor]:
    return {(t.pid, d.fd): d for t in model.tables for d in t.entries}
