"""A second domain for the solver: fill a relational database whose rows refer to each other in circles.

With foreign keys enforced, a row comes after the rows it refers to. A reference that may change can be written later,
so a circle is possible if one reference in it may; views come after their tables; a table is sealed by a trigger after
its last row. Nothing of this is known to the solver: the kinds below are all there is.
"""

from __future__ import annotations

from .objects import BIRTH, FREE, ONE_WAY, Kind, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .objects import Thing
    from .sequence import Step

RULES = {
    kind.name: kind
    for kind in (
        Kind("table", sealed=Slot(ONE_WAY, start=False)),
        Kind("view", of=Slot(BIRTH, refers=True)),
        Kind(
            "row",
            table=Slot(BIRTH, refers=True, while_={"sealed": False}),
            needs=Slot(BIRTH, refers=True),
            knows=Slot(BIRTH, FREE, refers=True),
            note=Slot(FREE),
        ),
    )
}
"""``needs`` is a reference that can only be given with the row, ``knows`` one that can be written at any time."""


def begin() -> list[str]:
    """What has to be there before: enforcement, and the register of rows that references point to."""
    return ["PRAGMA foreign_keys = ON", "CREATE TABLE node (name TEXT PRIMARY KEY)"]


def sql(step: Step, goal: Mapping[str, Thing]) -> list[str]:
    """One step as statements for SQLite; names must be plain words."""
    action, name = str(step.op[0]), str(step.op[1])
    thing = goal[name]
    if thing.kind == "table":
        return _table(name) if action == "make" else _seal(name)
    if thing.kind == "view":
        return [f"CREATE VIEW {name} AS SELECT * FROM {thing.values['of']}"]
    table = thing.values["table"]
    if action == "make":
        given = {"name": name, **{slot: v for slot, v in _pairs(step.op[2]) if slot != "table" and v is not None}}
        return [f"INSERT INTO {table} ({', '.join(given)}) VALUES ({', '.join(map(repr, given.values()))})"]
    if action == "set":
        return [f"UPDATE {table} SET {step.op[2]} = {step.op[3]!r} WHERE name = {name!r}"]
    return [f"DELETE FROM {place} WHERE name = {name!r}" for place in (table, "node")]


def _pairs(values: object) -> list[tuple[str, str]]:
    assert isinstance(values, tuple)
    return list(values)


def _table(name: str) -> list[str]:
    node = "REFERENCES node(name)"
    return [
        f"CREATE TABLE {name} (name TEXT PRIMARY KEY, needs TEXT {node}, knows TEXT {node}, note TEXT)",
        f"CREATE TRIGGER {name}_node AFTER INSERT ON {name} BEGIN INSERT INTO node VALUES (NEW.name); END",
        f"CREATE TRIGGER {name}_needs BEFORE UPDATE OF needs ON {name} BEGIN SELECT RAISE(ABORT, 'from birth'); END",
    ]


def _seal(name: str) -> list[str]:
    return [f"CREATE TRIGGER {name}_seal BEFORE INSERT ON {name} BEGIN SELECT RAISE(ABORT, '{name} is sealed'); END"]
