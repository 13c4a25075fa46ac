"""What a tree has written since its last dump: tracked by the kernel, kept alive by a process that holds descriptors.

Tracking is a userfaultfd(2) of each process, made inside of it, taken from it, and closed there: nothing of it is left
in the process but the mark ``uw`` of its anonymous private mappings (smaps(5)). Its descriptors go to a `holder`, which
also says since which image they tell. If anything is unsure, the tracking ends, and the next dump saves everything:

* a dump that begins to track ends the holder first. Should it fail, its descriptors close with it;
* what is not watched counts as new (`replant.pages.scan.since`), and what somebody else watches, who would protect it
  anew in moments of his own; so does a process that no code of ours can run in;
* a dump in whose time another one has begun to track forgets what it has found: both had the same descriptors.
"""

from __future__ import annotations

import marshal
import os
import select
import sys
from errno import EBADF

from replant.abi import userfaultfd, x86_64
from replant.abi.call import Call, Track
from replant.abi.libc import syscall
from replant.abi.signal import SIGKILL
from replant.errors import Blocker, ReplantError, TaskGone
from replant.journal import DEBUG, WARNING, current, site
from replant.observe import procfs
from replant.pages.scan import marked, private, protect
from replant.tracee.batch import CallFailed
from replant.tracee.questions import Questions
from replant.tracee.remote import Inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from replant.model.tree import Mm, Vma
    from replant.tracee.task import FrozenTask

_HOLDER = __file__.replace("tracking.py", "holder.py")
_SO_PEERCRED = 17
_FOUND = site("track", "process %d holds the tracking of %d processes since the image %s")
_NOT_TRACKED = site("track", "process %p is not tracked: %s", level=WARNING)
_WATCHED = site("track", "process %p: %d mappings are watched", level=DEBUG)
_HELD = site("track", "the tracking of %d processes is held under the name %s")


class Tracking:
    """The tracking of the tree below ``root``; use it in a ``with``, at whose end it ends unless it was handed over.

    ``base``, ``path``: identity and path of the image since which changes are known; empty: nothing is known.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.base = self.path = ""
        self.fds: dict[int, int] = {}
        self._ours: dict[int, list[Vma]] = {}  # as found in this pause
        self._pidfds: dict[int, int] = {}
        self._holder = -1

    @classmethod
    def find(cls, root: int) -> Self:
        """That of a running tree; an empty one if nobody tracks it. Descriptors are the holder's still."""
        found = cls(root)
        answer = _asked(found._name())
        if answer is not None:
            holder, told = answer
            try:
                found._holder = os.pidfd_open(holder)
                found.base, found.path, rows = marshal.loads(told)
                found._take(rows)
            except (OSError, ValueError, EOFError, TypeError):  # it has ended meanwhile
                found._close()
                return cls(root)
            _FOUND(current(), holder, len(found.fds), found.path)
        return found

    def _take(self, rows: Mapping[int, tuple[int, int, int]]) -> None:
        """Descriptors of our own for those of the holder, of processes that are still the same."""
        for pid, (began, fd, pidfd) in rows.items():
            try:
                if _start_time(pid) == began:
                    self._pidfds[pid] = syscall(x86_64.pidfd_getfd, self._holder, pidfd, 0)
                    self.fds[pid] = syscall(x86_64.pidfd_getfd, self._holder, fd, 0)
            except OSError as error:
                if error.errno != EBADF:
                    raise
                self._drop(pid)  # it has ended, and the holder has let go of it

    def forget_if_another_began(self) -> None:
        """In a pause: if somebody else has begun to track since `find`, nothing is known."""
        if self._holder >= 0 and _has_ended(self._holder, 0):
            self._close()
            self.base = self.path = ""

    def foreign(self, mm: Mm) -> set[int]:
        """In a pause: the starts of mappings whose marks do not tell of our last one. :raises OSError: as `watch`."""
        ours = self.watch(mm)
        self._ours.setdefault(mm.pid, []).extend(ours)
        return {v.start for v in mm.vmas if _can_be_watched(v)} - {v.start for v in ours}

    def begin(self, tasks: Mapping[int, FrozenTask], mms: Iterable[Mm]) -> None:
        """From this moment on, all stopped, changes are known. The holder ends: what it said is not true any more."""
        self.end_holder()
        for mm in mms:
            try:
                ours = self._ours.pop(mm.pid, None)
                protect(mm.pid, self._watch_anew(mm, tasks[mm.pid]) if ours is None else ours)
            except (Blocker, CallFailed, OSError) as error:
                self._drop(mm.pid)
                _NOT_TRACKED(current(), mm.pid, str(error))

    def watch(self, mm: Mm) -> list[Vma]:
        """The mappings that are watched; those that were not are so now. :raises OSError: it cannot be tracked."""
        fd = self.fds[mm.pid]
        vmas = [v for v in mm.vmas if _can_be_watched(v)]
        before = marked(mm.pid, vmas)
        watched = [v for v in vmas if userfaultfd.note_writes(fd, v.start, v.end - v.start)]
        for v in before:
            if v in watched:  # else it is somebody else's, with marks of its own
                userfaultfd.take_marks(fd, v.start, v.end - v.start)
        _WATCHED(current(), mm.pid, len(watched))
        return watched

    def _watch_anew(self, mm: Mm, task: FrozenTask) -> list[Vma]:
        if mm.pid in self.fds:
            try:
                return self.watch(mm)
            except OSError:  # the address space that it belonged to is gone: execve(2)
                self._drop(mm.pid)
        self._add(task)
        return self.watch(mm)

    def hand_over(self, base: str, path: str) -> None:
        """Give the descriptors to a holder, which tells that they are about changes since the image ``base``.

        :raises ReplantError: none could be started.
        """
        rows = {pid: (_start_time(pid), fd, self._pidfds[pid]) for pid, fd in self.fds.items()}
        state = os.memfd_create("tracking", 0)
        try:
            os.write(state, marshal.dumps((base, path, rows)))
            for fd in (*self.fds.values(), *self._pidfds.values()):
                os.set_inheritable(fd, True)
            _start(self._name(), state)
        finally:
            os.close(state)
        _HELD(current(), len(rows), self._name())
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def end_holder(self) -> None:
        """End whoever has held the descriptors until now; ours keep the tracking alive."""
        if self._holder >= 0:
            try:
                syscall(x86_64.pidfd_send_signal, self._holder, SIGKILL, 0, 0)
                _has_ended(self._holder, 5000)
            except ProcessLookupError:
                pass
            os.close(self._holder)
            self._holder = -1

    def _add(self, task: FrozenTask) -> None:
        """A tracking descriptor of a process. :raises Blocker, CallFailed, OSError: it cannot have one."""
        thread = task.threads[0]
        track = Track("the process")
        theirs = track.call(x86_64.userfaultfd, userfaultfd.QUIETLY, why="tracking")
        track.call(x86_64.close, theirs)
        pidfd = os.pidfd_open(task.pid)
        try:
            with Inside(task) as inside:
                asked = Questions(track.calls[:1], track.calls[1:], track)
                number = inside.ask(thread, asked)[0].ret
                try:
                    self.fds[task.pid] = syscall(x86_64.pidfd_getfd, pidfd, number, 0)
                finally:
                    inside.ask(thread, [Call(x86_64.close, number, why="tracking is held elsewhere")])
            userfaultfd.api(self.fds[task.pid], userfaultfd.WP_ASYNC)
        except BaseException:
            os.close(pidfd)
            raise
        self._pidfds[task.pid] = pidfd

    def _drop(self, pid: int) -> None:
        for table in (self.fds, self._pidfds):
            if pid in table:
                os.close(table.pop(pid))

    def _close(self) -> None:
        for pid in [*self.fds]:
            self._drop(pid)
        if self._holder >= 0:
            os.close(self._holder)
            self._holder = -1

    def _name(self) -> str:
        return f"replant-track-{self.root}-{_start_time(self.root)}"


def _has_ended(pidfd: int, patience: int) -> bool:
    """Whether a process has; waits so many milliseconds for that."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(patience))


def _can_be_watched(vma: Vma) -> bool:
    """Anonymous memory; what is private in mappings of files is little, and is saved each time."""
    return vma.file < 0 and bool(private([vma]))


def _start_time(pid: int) -> int:
    """By which a process is told from a later one of its number; 0 if there is none."""
    try:
        return procfs.stat(pid).starttime
    except TaskGone:
        return 0


def _asked(name: str) -> tuple[int, bytes] | None:
    """The holder of that name and what it tells; only one of our own user's, or of root's, is believed."""
    import _socket

    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        asking.settimeout(5)
        asking.connect(b"\0" + name.encode())
        peer = asking.getsockopt(_socket.SOL_SOCKET, _SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(peer[at : at + 4], "little") for at in (0, 4))
        if uid not in (0, os.geteuid()):
            return None
        parts = []
        while part := asking.recv(1 << 16):
            parts.append(part)
        return pid, b"".join(parts)
    except OSError:
        return None
    finally:
        asking.close()


def _start(name: str, state: int) -> None:
    words = [sys.executable, "-I", "-S", _HOLDER, name, str(state)]
    null = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in range(3)]
    try:
        child = os.posix_spawn(sys.executable, words, {}, file_actions=null)
        status = os.waitpid(child, 0)[1]
    except OSError as e:
        raise _no_holder(str(e)) from e
    if status:
        raise _no_holder(f"it ended with {os.waitstatus_to_exitcode(status)}")


def _no_holder(why: str) -> ReplantError:
    return ReplantError(
        f"the image is there, but its tree is not tracked: no process could be started to hold the tracking: {why}",
        code="not-tracked",
        hint="the next dump with --parent saves everything",
    )
