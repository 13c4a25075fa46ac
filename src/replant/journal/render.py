"""Events as text: a line each, system calls as strace(1) shows them.

Text that came from outside (paths, messages, even the words of a site) is escaped: it cannot make a line of its own.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from replant.journal.events import LOADED, NOT_RUN, Batch, Event
from replant.journal.layout import CALL, SLOT
from replant.journal.sites import DEBUG, ERROR, INFO, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from replant.journal.blocks import FileHeader

    class Names(Protocol):
        """Who knows the kernel's words; a module with these functions will do."""

        def call_name(self, nr: int, /) -> str:
            """The name of a system call."""

        def call_arguments(self, nr: int, args: Sequence[int], loaded: int, /) -> list[str]:
            """The arguments of a call in words; a bit of ``loaded``: this one is the address of its value."""

        def call_result(self, nr: int, ret: int, /) -> str:
            """What a call that succeeded gave."""


class Numbers:
    """The names of whoever knows no names."""

    def call_name(self, nr: int, /) -> str:
        """The number with a word before it."""
        return f"syscall_{nr}"

    def call_arguments(self, nr: int, args: Sequence[int], loaded: int, /) -> list[str]:
        """All six, in hexadecimal."""
        return [f"{'*' if loaded >> i & 1 else ''}{arg:#x}" for i, arg in enumerate(args)]

    def call_result(self, nr: int, ret: int, /) -> str:
        """The number."""
        return str(ret)


LEVELS = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error"}
_U64 = (1 << 64) - 1


class Renderer:
    """Renders events of one journal."""

    def __init__(self, header: FileHeader, names: Names | None = None) -> None:
        self.names = names or Numbers()
        self._offset: int = header.realtime - header.monotonic

    def epoch(self, monotonic: int) -> int:
        """A time of the journal as ns since 1970."""
        return monotonic + self._offset

    def clock(self, monotonic: int) -> str:
        """Local time of day, to the microsecond."""
        seconds, ns = divmod(self.epoch(monotonic), 1_000_000_000)
        try:
            return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{ns // 1000:06}"
        except (OverflowError, OSError):
            return f"{seconds}.{ns // 1000:06}"

    def lines(self, event: Event) -> Iterator[str]:
        """The lines of an event: one, and for a batch one more for each call."""
        when = self.clock(event.time)
        if isinstance(event, Batch):
            yield f"{when} [{event.tid}] call: {self.text(event)}"
            for index in range(len(event.records) // SLOT):
                yield self.line(event, index)
        else:
            mark = f"{LEVELS.get(event.site.level, event.site.level)}: " if event.site.level >= WARNING else ""
            yield f"{when} [{event.lane.pid}] {escaped(event.site.kind)}: {mark}{self.text(event)}"

    def line(self, batch: Batch, index: int) -> str:
        """The line of one call of a batch."""
        return f"{self.clock(batch.time)} [{batch.tid}]   {self.call(batch, index)}"

    def text(self, event: Event) -> str:
        """The words of an event."""
        if isinstance(event, Batch):
            count = len(event.records) // SLOT
            why = f" for {text(event.reason)}" if event.reason else ""
            took = f" in {duration(event.ns)}" if event.ns else ""
            return f"{count} {'call' if count == 1 else 'calls'}{took}{why}"
        form = event.site.form.replace("%%", "\0")
        first, *parts = form.split("%")
        shown = [escaped(first.replace("\0", "%"))]
        for part, value in zip(parts, event.args, strict=True):
            shown.append(self.value(part[0], value) + escaped(part[1:].replace("\0", "%")))
        return "".join(shown)

    def value(self, conversion: str, value: int | bytes) -> str:
        """One argument, as its conversion says."""
        if isinstance(value, bytes):
            return text(value)
        match conversion:
            case "x":
                return f"{value & _U64:#x}"
            case "o":
                return f"{value & _U64:#o}"
            case "t":
                return duration(value)
            case "e":
                return error(value) if value else "0"
            case "n":
                return self.names.call_name(value)
            case "g":
                return _signal(value)
        return str(value)

    def call(self, batch: Batch, index: int) -> str:
        """One call of a batch: ``#17 openat(AT_FDCWD, …) = 3``."""
        nr, flags, *args, ret = CALL.unpack_from(batch.records, index * SLOT)
        name = self.names.call_name(nr)
        shown = ", ".join(self.names.call_arguments(nr, args, flags & LOADED))
        if ret == NOT_RUN:
            result = "?"
        elif -4095 <= ret < 0:
            result = f"-1 {error(-ret)}"
        else:
            result = self.names.call_result(nr, ret)
        return f"#{batch.base + index} {name}({shown}) = {result}"


def text(data: bytes) -> str:
    """Bytes as text that cannot break a line or drive a terminal."""
    return escaped(data.decode("utf-8", "backslashreplace"))


def escaped(words: str) -> str:
    """The same, with whatever cannot be printed as an escape sequence."""
    if words.isprintable():
        return words
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in words])


def error(number: int) -> str:
    """``ENOENT (No such file or directory)``."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number) if 0 < number < 4096 else 'unknown error'})"


def duration(ns: int) -> str:
    """Nanoseconds in the unit a person would choose."""
    if abs(ns) < 1000:
        return f"{ns} ns"
    if abs(ns) < 1_000_000:
        return f"{ns / 1000:.1f} us"
    if abs(ns) < 1_000_000_000:
        return f"{ns / 1_000_000:.2f} ms"
    return f"{ns / 1_000_000_000:.3f} s"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRT_{number - 32}" if 32 <= number <= 64 else str(number)
