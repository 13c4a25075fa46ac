"""How far long work is, on one line of the terminal: bytes, rate, time left. Elsewhere, and for what is short, nothing.

Whoever works says ``show("saving", done, total)`` as often as it likes; a command on a terminal has it drawn (`on`).
"""

from __future__ import annotations

import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 0.5  # seconds without a line
_PERIOD = 0.1
_CLEAR = "\r\x1b[K"


class Bar:
    """The line: drawn by ``write``, seldom enough to cost nothing, and gone when the work is done."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = monotonic) -> None:
        self._write, self._clock = write, clock
        self._what = ""
        self._began = self._drawn = 0.0
        self._visible = False

    def show(self, what: str, done: int, total: int) -> None:
        """So many of so many bytes are done of that work."""
        now = self._clock()
        if what != self._what:
            self._what, self._began = what, now
        if done >= total:
            self.clear()
            self._what = ""
        elif now - self._began >= _PATIENCE and now - self._drawn >= _PERIOD:
            self._drawn, self._visible = now, True
            self._write(f"{_CLEAR}{line(what, done, total, now - self._began)}")

    def clear(self) -> None:
        """Take the line away."""
        if self._visible:
            self._write(_CLEAR)
            self._visible = False


def line(what: str, done: int, total: int, seconds: float) -> str:
    """The words, for work that has taken some ``seconds`` until now."""
    rate = done / seconds if seconds else 0
    left = f", {(total - done) / rate:.0f} s left" if rate else ""
    return f"{what}: {_size(done)} of {_size(total)}, {_size(rate)}/s{left}"


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 1 << 30 else f"{count / 2**20:.0f} MiB"


_bar: Bar | None = None


def show(what: str, done: int, total: int) -> None:
    """Say how far work is, in bytes."""
    if _bar is not None:
        _bar.show(what, done, total)


def on() -> None:
    """Draw from now on, on standard error."""
    global _bar
    _bar = Bar(lambda text: os.write(2, text.encode()))


def clear() -> None:
    """Take the line away: something else will be said."""
    if _bar is not None:
        _bar.clear()
