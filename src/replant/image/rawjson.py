"""JSON by the interpreter's own C scanner and encoder, without the json package around them.

Importing json brings re and enum along: 4 to 8 ms, a third of a small restore. The two C types are what json itself
uses; where an interpreter has them in another form, json does the work.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class _Settings:
    """What the C scanner asks of the decoder that it belongs to."""

    def __init__(self) -> None:
        self.strict = True
        self.object_hook = None
        self.object_pairs_hook = _unique
        self.parse_float = float
        self.parse_int = int
        self.parse_constant = _constant


def parse(text: str) -> object:
    """The value of a JSON text that has nothing after it.

    :raises ValueError: malformed, NaN or Infinity, a name that occurs twice, an integer of thousands of digits.
    :raises RecursionError: nested too deeply.
    """
    try:
        value, end = _scanner()(text, 0)
    except StopIteration:
        raise ValueError("it is empty, or cut off") from None
    if text[end:].strip(" \t\r\n"):
        raise ValueError(f"something follows after its end at character {end}")
    return value


def render(value: object, default: Callable[[object], object]) -> str:
    """One line of ASCII without blanks; tuples become arrays, ``default`` gives the form of anything else."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        encode = make_encoder(None, default, encode_basestring_ascii, None, ":", ",", False, False, False)
    except (ImportError, TypeError):
        import json

        return json.dumps(value, default=default, separators=(",", ":"), check_circular=False, allow_nan=False)
    return "".join(encode(value, 0))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return result


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no value of this format")


def _scanner() -> Callable[[str, int], tuple[object, int]]:
    try:
        from _json import make_scanner

        scan: Callable[[str, int], tuple[object, int]] = make_scanner(_Settings())  # type: ignore[arg-type]
    except (ImportError, TypeError, AttributeError):
        import json

        return json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant).raw_decode
    return scan
