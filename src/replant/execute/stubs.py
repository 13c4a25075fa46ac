"""Stubs: stopped tasks that run one batch after another in the arena, all at the same time.

A stub is started by setting its registers; while it works the restorer builds the next one. It stops by itself at the
TRAP that ends its batch, and its results are read out of the arena.
"""

from __future__ import annotations

import os
from time import monotonic_ns

from replant.errors import ReplantError
from replant.execute.local import failed
from replant.journal import DEBUG, current, site
from replant.tracee import batch, blob, ptrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from replant.abi.call import Track
    from replant.execute.arena import Arena
    from replant.tracee.batch import Encoded

_BORN = site("birth", "task %p is there", level=DEBUG)
_WALL = 0x40000000
_EVERY = (1 << 64) - 1
# ignored by default, so that nothing happens if one is left; then those of real time, which few programs use
_CANDIDATES: tuple[int, ...] = (23, 28, 18, *range(64, 33, -1))  # SIGURG, SIGWINCH, SIGCONT


def trap_signal(queued: set[int]) -> int:
    """A signal by which stubs stop: none that a stub will have pending. It alone is not blocked in them.

    A traced task stops for a signal whatever its disposition, and the tracer never delivers it.
    """
    return next(s for s in _CANDIDATES if s not in queued)


class Stubs:
    """All tasks that the restore has made; ``born`` is called with each new tid, ``finished`` with each track."""

    def __init__(self, arena: Arena, trap: int) -> None:
        self._arena = arena
        self._trap = trap
        self._code = arena.place(blob.CODE)
        self._running: dict[int, tuple[Track, Encoded, int, int]] = {}
        self._done: dict[int, int] = {}  # calls of former tracks
        self._expected: set[int] = set()
        self._ending: set[int] = set()
        self.alive: set[int] = set()
        self.born: Callable[[int], None] = lambda tid: None
        self.finished: Callable[[Track], None] = lambda track: None

    def adopt(self, tid: int) -> None:
        """A task that is there already, stopped: the seed. What is cloned from it inherits its signal mask."""
        self.alive.add(tid)
        ptrace.setsigmask(tid, _EVERY & ~(1 << self._trap - 1))

    def expect(self, tid: int) -> None:
        """A task that a batch is about to make."""
        self._expected.add(tid)

    def expect_end(self, tid: int) -> None:
        """A task whose next batch ends it."""
        self._ending.add(tid)

    def start(self, tid: int, track: Track) -> None:
        """Let a stopped stub run a track; `settle` waits for it."""
        at = self._arena.mark()
        base = self._arena.address + at
        end = base + batch.RECORD * (len(track.calls) + 1)
        encoded = batch.encode(track.calls, base, end, track, trap=self._trap)
        self._arena.fill(at, encoded.records, encoded.data)
        self._running[tid] = (track, encoded, at, monotonic_ns())
        ptrace.launch(tid, self._code + blob.RUN, base)

    def follow(self, tid: int, track: Track) -> None:
        """`start`, as soon as the stub has done what it was told before."""
        while tid in self._running:
            self._event(0)
        self.start(tid, track)

    def run(self, tid: int, track: Track) -> None:
        """Run a track to its end. :raises ReplantError: a call failed, or the stub died."""
        self.start(tid, track)
        self.settle()

    def end(self, tid: int) -> None:
        """Kill a stopped stub that has done its work, and wait until it is gone."""
        self.expect_end(tid)
        os.kill(tid, 9)
        self.settle()

    def abandon(self) -> None:
        """Kill everything that was made, newborns that nobody has seen yet included, and wait for the end."""
        for tid in self.alive:
            _kill(tid)
        while True:
            try:
                tid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                _kill(tid)

    def poll(self) -> None:
        """Handle what has happened, without waiting."""
        while self._event(os.WNOHANG):
            pass

    def settle(self) -> None:
        """Wait until no stub runs, every expected one is born, and every dying one dead."""
        while self._running or self._expected or self._ending:
            self._event(0)

    def _event(self, how: int) -> bool:
        try:
            tid, status = os.waitpid(-1, how | _WALL)
        except ChildProcessError:
            raise ReplantError("all tasks of the restore are gone", code="stub-died") from None
        if tid == 0:
            return False
        if os.WIFSTOPPED(status):
            self._stopped(tid, status)
        else:
            self._ended(tid, status)
        return True

    def _stopped(self, tid: int, status: int) -> None:
        if tid in self._running:
            signal = os.WSTOPSIG(status)
            if signal == self._trap:
                self._finish(tid)
            elif tid in self._ending:  # it dies by this signal
                ptrace.cont(tid, signal)
            else:
                raise self._died(tid, f"was stopped by signal {signal}")
        elif tid in self._expected:
            self._expected.discard(tid)
            self.alive.add(tid)
            _BORN(current(), tid)
            self.born(tid)

    def _finish(self, tid: int) -> None:
        track, encoded, at, since = self._running.pop(tid)
        data = at + len(encoded.records)
        view = self._arena.view
        track.answers = encoded.decode(view[at:data], view[data : data + len(encoded.data)])
        bad = encoded.failure(view[at:data])
        self._record(tid, track, at, since, bad or 0)
        if bad is not None:
            raise failed(track.calls[bad], track.answers[bad].ret, track.actor)
        self.finished(track)
        track.calls.clear()  # slots point back at their track: a cycle, and nobody collects while a restore runs

    def _record(self, tid: int, track: Track, at: int, since: int, named: int) -> None:
        """Put what a stub has run into the journal, with the reason of one of the calls."""
        count, base = len(track.calls), self._done.get(tid, 0)
        records = self._arena.view[at : at + batch.RECORD * count]
        reason = track.calls[named].why if count else ""
        current().batch(tid, tid, records, base=base, ns=monotonic_ns() - since, reason=reason)
        self._done[tid] = base + count

    def _ended(self, tid: int, status: int) -> None:
        self.alive.discard(tid)
        if running := self._running.pop(tid, None):
            track, _, at, since = running
            self._record(tid, track, at, since, len(track.calls) - 1)
        if tid not in self._ending:
            raise self._died(tid, f"ended with status {status:#x}")
        self._ending.discard(tid)

    def _died(self, tid: int, how: str) -> ReplantError:
        return ReplantError(
            f"task {tid} {how} in the middle of the restore",
            code="stub-died",
            pid=tid,
            hint="was it killed from outside, or is memory short?",
        )


def _kill(tid: int) -> None:
    try:
        os.kill(tid, 9)
    except ProcessLookupError:
        pass  # it has died before
