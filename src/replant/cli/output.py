"""What commands print: results on standard output, messages on standard error, JSON where it was asked for."""

from __future__ import annotations

import sys

from replant.image import rawjson
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def say(message: str) -> None:
    """A message for the person at the terminal."""
    sys.stderr.write(f"replant: {message}\n")


def lines(rows: Iterable[str]) -> None:
    """Lines of a result."""
    write = sys.stdout.write
    for row in rows:
        write(row)
        write("\n")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest word; the last one is not padded."""
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    return ["  ".join([*(w.ljust(n) for w, n in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows]


def document(value: object) -> None:
    """The one JSON document of ``--json``: a line of ASCII.

    :raises TypeError: something in it has no form in JSON.
    """
    sys.stdout.write(rawjson.render(plain(value), _formless))
    sys.stdout.write("\n")


def _formless(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def details(report: Frozen) -> None:
    """What ``--verbose`` adds: every figure of a report, on standard error."""
    for name, value in zip(report._fields, report, strict=True):
        say(f"{name.replace('_', ' ')}: {round(value, 3) if isinstance(value, float) else value}")


def plain(value: object) -> object:
    """The same in terms of JSON: records become objects, bytes hexadecimal digits.

    A `Frozen` has its field names as keys. Text that was no UTF-8 (file names) keeps its surrogate escapes.
    """
    if isinstance(value, Frozen):
        return {name: plain(field) for name, field in zip(value._fields, value, strict=True)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return value.hex()
    return value


def size(count: int) -> str:
    """Bytes as a person reads them."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def count(number: int, what: str) -> str:
    """``1 task``, ``2 tasks``."""
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1] + 'ies' if what.endswith('y') else what + 's'}"
