"""A small but complete model, and kinds that have every type a State can have."""

from __future__ import annotations

import sys

from replant.model.frozen import Frozen
from replant.model.tree import Attribute, Descriptor, Extent, FdTable, File, Mm, Model, Owner, Task, Vma

VERSION = 3
UPGRADES = {
    1: lambda row: [*row[:1], b"new", *row[1:]],
    2: lambda row: [*row[:2], row[2], *row[3:]],
}


class Point(Frozen):
    """A row within a row."""

    x: int
    label: str


class Rich(Frozen):
    """Every type that an annotation can have."""

    path: str
    data: bytes
    flag: bool
    number: int
    points: tuple[Point, ...]
    owner: Owner | None
    pair: tuple[int, str]
    numbers: tuple[int, ...]
    names: tuple[str, ...] | None
    content: tuple[Extent, ...]
    blobs: tuple[bytes, ...]


class Empty(Frozen):
    """A State without fields."""


KINDS = {("files", "rich"): Rich, ("files", "empty"): Empty, ("task", "rich"): Rich, ("task", "point"): Point}
STORE_SIZE = 1 << 20
MODULE = sys.modules[__name__]


def resolve(family: str, kind: str) -> type[Frozen]:
    """The State of a kind, as the registry gives it."""
    return KINDS[family, kind]


def rich(number: int = 7) -> Rich:
    """A State with something in every field."""
    return Rich(
        "/tmp/\udcff ä",
        b"\0\xff" * number,
        True,
        -number,
        (Point(1, "a"), Point(2**63, "")),
        Owner(1, 10, 29, 1000, 0),
        (number, "pair"),
        tuple(range(number)),
        ("one", "two") if number % 2 else None,
        (Extent(0, 4096, 8192),),
        (b"", b"abc"),
    )


def model(vmas: int = 5) -> Model:
    """Three tasks: the root with a second thread, a child, and a zombie."""
    areas = tuple(Vma(0x10000 * i, 0x10000 * i + 0x4000, 3, False, "mr mw", 0, "anon") for i in range(1, vmas + 1))
    lib = Vma(0x7F0000000000, 0x7F0000002000, 5, True, "", 4096, "file", 1)
    runs = b"".join(n.to_bytes(8, "little") for n in (0x10000, 8192, 0, 0x13000, 4096, 8192))
    return Model(
        root=10,
        clock=123456789012,
        tasks=(
            Task(10, 1, 10, 10, "R", 0, 17, True, 0, False, "root", (10, 12), 0, 0, 1),
            Task(11, 10, 11, 10, "T", 0, 17, False, 19, True, "child", (11,), 0, 0, 1),
            Task(13, 10, 10, 10, "Z", 256, 17, False, 0, False, "dead", (13,), -1, -1, -1),
        ),
        mms=(Mm(10, (*areas, lib), runs), Mm(11, (*areas, lib))),
        tables=(
            FdTable(10, (Descriptor(0, 0, False), Descriptor(5, 1, True))),
            FdTable(11, (Descriptor(0, 0, False),)),
        ),
        files=(File(0, "empty", 0o2, 0, None, Empty()), File(1, "rich", 0, 5, Owner(0, 10, 0, 0, 0), rich())),
        attributes=(
            Attribute("rich", 10, rich(3)),
            Attribute("point", 10, Point(5, "x")),
            Attribute("rich", 11, rich(4)),
            Attribute("point", 12, Point(6, "y")),
        ),
    )
