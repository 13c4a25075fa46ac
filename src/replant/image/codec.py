"""Model to bytes and back: the schema of an image are the States themselves.

As built::

    encode(model) -> (json, blobs)
    decode(json, blobs, resolve, versions=None, stores=None) -> Model
    kinds_of(model) -> sorted tuple of (family, kind)

``json`` is one line of ASCII: every `Frozen` is an array of its fields in order, paths are surrogateescaped strings,
``bytes`` stand in ``blobs`` and are referred to by ``[offset, length]``, each byte of the blobs by exactly one.
``resolve(family, kind)`` answers with the State class of a kind; family is ``"files"`` or ``"task"``. ``versions`` are
those of the writer, by ``"family/kind"``; older rows are upgraded.
"""

from __future__ import annotations

from replant.errors import Bug, ImageError
from replant.image import columns, rawjson, upgrade
from replant.image.scalars import Reject, Source, rows
from replant.model import invariants
from replant.model.frozen import Frozen
from replant.model.tree import Attribute, File, Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from replant.image.scalars import Column

    Resolve = Callable[[str, str], type[Frozen]]

_FAMILIES: dict[type[Frozen], str] = {File: "files", Attribute: "task"}
_made: list[Column] = []


def encode(model: Model) -> tuple[bytes, bytes]:
    """The model as JSON and blobs. :raises Bug: a State holds something that its annotations do not allow."""
    parts: list[bytes] = []
    size = 0

    def outside(value: object) -> list[int]:
        nonlocal size
        if not isinstance(value, bytes):
            raise Bug(f"a State holds {value!r}, of type {type(value).__name__}, which no image can hold")
        parts.append(value)
        size += len(value)
        return [size - len(value), len(value)]

    text = rawjson.render(model, outside)
    return text.encode("ascii"), b"".join(parts)


def decode(
    data: bytes,
    blobs: bytes,
    resolve: Resolve,
    versions: Mapping[str, int] | None = None,
    stores: Sequence[int] | None = None,
) -> Model:
    """The model, with every type, number and reference checked.

    ``stores``: the sizes of the page store and of those it builds on, which bound what points there.

    :raises ImageError: in any other case: nothing in ``data`` or ``blobs`` can cause another exception.
    """
    source = _KindSource(blobs, resolve, versions)
    try:
        model: Model = _model_column()([_parsed(data)], source)[0]
    except Reject as e:
        raise corrupt(f"{e.where.lstrip('.') or 'it'} {e.why}") from None
    _check_blobs(source)
    wrong = invariants.violation(model, stores) or _outside(source, stores)
    if wrong:
        raise corrupt(wrong)
    return model


def kinds_of(model: Model) -> tuple[tuple[str, str], ...]:
    """The kinds that occur in a model, as (family, kind)."""
    return tuple(sorted({("files", f.kind) for f in model.files} | {("task", a.kind) for a in model.attributes}))


def corrupt(why: str, resource: str = "model.json") -> ImageError:
    """An image whose content contradicts itself or its schema."""
    return ImageError(
        f"{resource}: {why}", code="image-corrupt", resource=resource, hint="use another copy of the image"
    )


class _KindSource(Source):
    __slots__ = ("resolve", "upgraded", "versions")

    def __init__(self, blobs: bytes, resolve: Resolve, versions: Mapping[str, int] | None) -> None:
        super().__init__(blobs)
        self.resolve = resolve
        self.versions = versions
        self.upgraded = False

    def state(self, family: str, kind: str) -> type[Frozen]:
        """The State of a kind. :raises ImageError: there is none."""
        if not (kind.isidentifier() and kind.isascii() and len(kind) < 64 and kind[0] != "_"):
            raise corrupt(f"{kind[:70]!a} is no name of a kind")
        try:
            return self.resolve(family, kind)
        except (LookupError, AttributeError):
            raise ImageError(
                f"the image holds {family}/{kind}, a kind that this version does not know",
                code="image-kind",
                resource=f"{family}/{kind}",
                hint="restore it with the version of replant that wrote it, or a newer one",
            ) from None

    def current(self, family: str, kind: str, state: type[Frozen], rows: list[Any]) -> list[Any]:
        """The rows of a kind, upgraded where the image has an older version."""
        if self.versions is None:
            return rows
        name = f"{family}/{kind}"
        if name not in self.versions:
            raise corrupt(f"the manifest gives no version of {name}", "manifest.json")
        if self.versions[name] != upgrade.version(state):
            self.upgraded = True
            return upgrade.upgrade(state, name, self.versions[name], rows)
        return rows


def _parsed(data: bytes) -> object:
    try:
        return rawjson.parse(data.decode("ascii"))
    except (ValueError, RecursionError) as e:
        raise corrupt(str(e) or "is nested too deeply") from None


def _model_column() -> Column:
    if not _made:
        for cls, family in _FAMILIES.items():
            columns.special(cls, _with_state(cls, family))
        _made.append(columns.record(Model))
    return _made[0]


def _with_state(cls: type[Frozen], family: str) -> Column:
    """The decoder of rows whose last field, ``state``, has the class that their field ``kind`` names."""
    names = [f".{n}" for n in cls._fields[:-1]]
    place = cls._fields.index("kind")
    plain = [columns.of_type(a) for a in columns.field_types(cls)[:-1]]

    def read(values: Sequence[Any], source: Any) -> Sequence[Any]:
        if not rows(values, len(cls._fields)):
            return ()
        fields = columns.fields(names, plain, [v[:-1] for v in values], source)
        states = _states(source, family, fields[place], [v[-1] for v in values])
        return columns.instances(cls, [*fields, states], len(values))

    return read


def _states(source: _KindSource, family: str, kinds: Sequence[str], values: list[Any]) -> list[Any]:
    """The states of rows of many kinds, decoded kind by kind."""
    by_kind: dict[str, list[int]] = {}
    for index, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(index)
    done: list[Any] = [None] * len(values)
    for kind, places in by_kind.items():
        state = source.state(family, kind)
        raw = source.current(family, kind, state, [values[i] for i in places])
        try:
            for index, one in zip(places, columns.record(state)(raw, source), strict=True):
                done[index] = one
        except Reject as e:
            raise Reject(places[e.index], e.why, f".state{e.where}") from None
    return done


def _check_blobs(source: _KindSource) -> None:
    """Every byte of the blobs belongs to exactly one field; an upgrade may have left fields out."""
    end = 0
    for start, stop in sorted(source.used):
        if start != end and not source.upgraded:
            raise corrupt(f"bytes {min(start, end)} to {max(start, end)} belong to no field, or to two", "blobs.bin")
        end = stop
    if end != len(source.blobs) and not source.upgraded:
        raise corrupt(f"there is something after byte {end} that belongs to no field", "blobs.bin")


def _outside(source: Source, stores: Sequence[int] | None) -> str | None:
    for e in source.extents:
        if e.offset < 0 or e.length < 0 or e.at < 0 or (stores is not None and e.at + e.length > stores[0]):
            return f"an extent ({e.offset}, {e.length}, {e.at}) lies outside of the page store"
    return None
