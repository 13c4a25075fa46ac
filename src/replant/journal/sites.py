"""Sites: the places in a program that make events, each registered once, at module level.

``FROZEN = site("freeze", "seized %d tasks in %t")`` gives a function that records one event:
``FROZEN(journal, 12, 52_000)``. Nothing is formatted, looked up or allocated: the arguments go into the
mapped file in one ``pack_into``. The conversions of a format say how an argument is kept and how it is shown:

====  ============================  ====  =============================================
%d    integer                       %e    error number: EPERM (Operation not permitted)
%x    integer in hexadecimal        %n    system call number: its name
%o    integer in octal              %g    signal number: its name
%t    nanoseconds, as a duration    %s    text or bytes, escaped, at most 4096 bytes
%p    pid or tid of a task          %q    private text: its length only, unless asked for
====  ============================  ====  =============================================

Integers are 64 bits wide, at most five an event; larger ones wrap. Emitting is safe between threads
that share a lane and inside signal handlers: a slot is reserved by loads and stores between which CPython
with a GIL neither switches threads nor runs a handler. (Without a GIL each thread needs a
:meth:`~replant.journal.writer.Journal.lane` of its own.)
"""

from __future__ import annotations

import sys
from struct import Struct, error
from time import monotonic_ns as now

from replant.journal.layout import ROOM, SLOT, site_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType

    from replant.journal.lane import Lane

    Emit = Callable[..., None]
else:
    FunctionType = type(site_number)  # as `types` has it, whose import takes longer than a journal

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
TEXT_MAX = 4096
INTEGERS, TEXTS = "dxotegnp", "sq"

definitions: dict[int, bytes] = {}
"""Every site registered in this process: its number and its definition."""
registered: list[Callable[[bytes], None]] = []
"""Who wants to hear of sites that are registered from now on: the open journals."""
_emitters: dict[bytes, Emit] = {}
"""The functions of sites with a function of their own, by the bytes of their numbers."""


def site(kind: str, form: str, *, level: int = INFO) -> Emit:
    """Register an event and give the function that records it: ``emit(journal, *arguments)``.

    :param kind: the event's name for filters, ``freeze``, ``fd.read``
    :param form: the words, with conversions (see the module)
    :raises ValueError: for an unknown conversion, more than five integers, or a number taken by another site
    """
    caller = sys._getframe(1)
    place = f"{caller.f_globals['__name__']}:{caller.f_lineno}"
    definition = f"{kind}\0{level}\0{form}\0{place}\0".encode()
    number = site_number(definition)
    emit = _emitter(number, signature(form))
    if definitions.setdefault(number, definition) != definition:
        raise ValueError(f"the sites {definition!r} and {definitions[number]!r} have one number: rename one")
    for tell in registered:
        tell(definition)
    return emit


def signature(form: str) -> str:
    """The conversions of a format in order: ``sd`` for ``opened %s as %d``."""
    found = "".join([part[:1] or " " for part in form.replace("%%", "").split("%")[1:]])
    if found.strip(INTEGERS + TEXTS) or sum(map(INTEGERS.count, found)) * 8 > ROOM:
        raise ValueError(f"{form!r}: unknown conversion, or more than five integers")
    return found


def _emitter(number: int, kinds: str) -> Emit:
    """The fastest function for such arguments: the usual shapes have one of their own."""
    if not kinds.strip(INTEGERS) and 1 <= len(kinds) <= 3:
        return _made((_one, _two, _three)[len(kinds) - 1], number)
    if kinds == "s":
        return _text(number)
    return _any(number, kinds)


def _made(shape: Emit, number: int) -> Emit:
    """A copy of a function, for one site: with its number where the function has ``_SITE``.

    A constant costs nothing; the names of a closure are copied at each call, which is 3% of an event.
    """
    head = number.to_bytes(8, "little")
    code = shape.__code__
    own = tuple([head if value == _SITE else value for value in code.co_consts])
    emit = _emitters[head] = FunctionType(code.replace(co_consts=own), globals())
    return emit


# Every item of a pack costs. The site and the key are bytes, which are copied, and no integers, which are taken apart.
# "L" and "l" are 8 bytes on every 64-bit Linux, and some 10 ns faster than "Q" and "q", for which CPython takes the
# long way round for integers of more than 30 bits.
_pack_one = Struct("8sLl32x8s").pack_into
_pack_two = Struct("8sLll24x8s").pack_into
_pack_three = Struct("8sLlll16x8s").pack_into
_pack_text = Struct("IIL40s8s").pack_into
_SITE = b"the site"


def _one(lane: Lane, a: int, /) -> None:
    pos, buf, key = lane.pos, lane.buf, lane.key
    if pos is None:
        return
    lane.pos = pos + SLOT
    try:
        _pack_one(buf, pos, b"the site", now(), a, key)
    except error:
        lane.retry(_emitters[b"the site"], buf, pos, key, a)


def _two(lane: Lane, a: int, b: int, /) -> None:
    pos, buf, key = lane.pos, lane.buf, lane.key
    if pos is None:
        return
    lane.pos = pos + SLOT
    try:
        _pack_two(buf, pos, b"the site", now(), a, b, key)
    except error:
        lane.retry(_emitters[b"the site"], buf, pos, key, a, b)


def _three(lane: Lane, a: int, b: int, c: int, /) -> None:
    pos, buf, key = lane.pos, lane.buf, lane.key
    if pos is None:
        return
    lane.pos = pos + SLOT
    try:
        _pack_three(buf, pos, b"the site", now(), a, b, c, key)
    except error:
        lane.retry(_emitters[b"the site"], buf, pos, key, a, b, c)


def _text(number: int) -> Emit:
    general = _any(number, "s")

    def emit(lane: Lane, text: str | bytes, /) -> None:
        if lane.pos is None:
            return
        try:
            data = text.encode()  # type: ignore[union-attr]  # bytes take the general way
        except (AttributeError, UnicodeEncodeError):
            general(lane, text)
            return
        size = len(data)
        if size > ROOM:
            general(lane, text)
            return
        pos, buf, key = lane.pos, lane.buf, lane.key
        lane.pos = pos + SLOT
        try:
            _pack_text(buf, pos, number, size, now(), data, key)
        except error:
            lane.retry(emit, buf, pos, key, text)

    return emit


def _any(number: int, kinds: str) -> Emit:
    integers = [i for i, kind in enumerate(kinds) if kind in INTEGERS]
    texts = [i for i, kind in enumerate(kinds) if kind in TEXTS]
    pack = Struct(f"<{len(integers)}Q").pack
    room = ROOM - 8 * len(integers)

    def emit(lane: Lane, /, *args: int | str | bytes) -> None:
        if lane.pos is None:
            return
        if len(args) != len(kinds):
            raise TypeError(f"{len(args)} arguments for {definitions[number]!r}")
        numbers = pack(*[args[i] & 0xFFFFFFFFFFFFFFFF for i in integers])  # type: ignore[operator]
        data = _joined([_kept(lane, kinds[i], args[i]) for i in texts])
        if len(data) <= room:
            lane.put(number, len(data), numbers + data)
        else:
            lane.put(number, len(data), numbers, data)

    return emit


def wrapped(args: tuple[object, ...]) -> list[int]:
    """Integers as 64 bits keep them.

    :raises TypeError: if one is no integer: a bug of the caller's that must not go unseen
    """
    wrapped = []
    for arg in args:
        if not isinstance(arg, int):
            raise TypeError(f"{arg!r}: an event of integers got something else")
        wrapped.append(((arg & 0xFFFFFFFFFFFFFFFF) ^ (1 << 63)) - (1 << 63))
    return wrapped


def _kept(lane: Lane, kind: str, text: object) -> bytes:
    if not isinstance(text, str | bytes):
        raise TypeError(f"{text!r}: an event of text got something else")
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if kind == "q" and not lane.private:
        return b"<%d bytes>" % len(data)
    return data if len(data) <= TEXT_MAX else data[: TEXT_MAX - 3] + "…".encode()


def _joined(parts: list[bytes]) -> bytes:
    """Texts behind each other: all but the last, which ends with the record, have their length (u16) before them."""
    head = [len(part).to_bytes(2, "little") + part for part in parts[:-1]]
    return b"".join(head + parts[-1:])
