"""Staying with a restored tree: its reaper, the relay of its signals, the lender of the terminal, its root's status."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the module signal costs 2 ms for its enums
import os

from replant.abi.libc import syscall
from replant.abi.x86_64 import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

PR_SET_CHILD_SUBREAPER = 36

RELAYED = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGTERM,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
    _signal.SIGCONT,
    _signal.SIGTSTP,
    _signal.SIGWINCH,
)


class Foreground:
    """Between entry and exit this process is the subreaper, and the signals that it relays wait in its queue.

    Entered **before** the restore, so that the root becomes our child however it is made, and so that no signal is lost
    between the last task's first step and the first wait.
    """

    def __enter__(self) -> Self:
        syscall(prctl, PR_SET_CHILD_SUBREAPER, 1)
        # Who is not in the foreground and sets the foreground group gets SIGTTOU, unless it is blocked (tcsetpgrp(3)).
        blocked = (*RELAYED, _signal.SIGCHLD, _signal.SIGTTOU)
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, blocked)
        return self

    def __exit__(self, *_: object) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)

    def until_end(self, root: int, init: int = 0) -> int:
        """Reap and relay until process ``root`` has ended; its status as a shell would give it.

        ``init``: the first process of the root's own pid namespace, which is our child instead, and ends as it ends.
        """
        terminal = Terminal(root)
        terminal.lend()
        try:
            while (status := _reap(init or root)) is None or os.WIFSTOPPED(status):
                if status is not None and terminal.lent:
                    _stopped(terminal, os.WSTOPSIG(status))
                number = _next(root if init and terminal.lent else 0)
                if number < 0:
                    _stopped(terminal, -number)
                elif number != _signal.SIGCHLD:
                    terminal.signal(number)
        finally:
            terminal.take_back()
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def _next(root: int) -> int:
    """The next signal for us, or minus the signal that has stopped process ``root``, of whom nobody tells us (0: none).

    The child of another process is looked at ten times a second, as long as it has the terminal.
    """
    expected = (*RELAYED, _signal.SIGCHLD)
    while root:
        info = _signal.sigtimedwait(expected, 0.1)
        if info is not None:
            return int(info.si_signo)
        if number := _stop_signal(root):
            return -number
    return int(_signal.sigwaitinfo(expected).si_signo)


def _stop_signal(pid: int) -> int:
    """What has stopped a process, 0 if nothing has; stat tells it as the exit code, proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[49]) if fields[0] == "T" else 0


def _stopped(terminal: Terminal, number: int) -> None:
    """The job has stopped, so we stop as well, and the shell has the terminal until it continues us."""
    if number in (_signal.SIGTTIN, _signal.SIGTTOU):
        terminal.signal(_signal.SIGCONT)  # it wanted the terminal a moment before it was lent
        return
    terminal.take_back()
    os.kill(os.getpid(), _signal.SIGSTOP)
    terminal.lend()  # continued: the SIGCONT that did it waits in our queue, to be passed on


class Terminal:
    """The terminal that the command was called from, lent to the root's process group as a shell lends it to a job.

    Only where there is something to lend: we are in the foreground, and the root is in our session but in a group of
    its own; else it would be stopped at its first read (SIGTTIN).
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._own = os.getpgrp()
        self._group = 0
        self.lent = False
        try:
            if os.getsid(root) == os.getsid(0) and os.getpgid(root) != self._own:
                self._group = os.getpgid(root)
        except ProcessLookupError:
            pass  # it has ended already

    def lend(self) -> None:
        """Make the root's group the foreground one, if it is ours to give."""
        try:
            if self._group and os.tcgetpgrp(0) == self._own:
                os.tcsetpgrp(0, self._group)
                self.lent = True
        except OSError:
            pass  # no terminal, or one that has been hung up: there is nothing to lend

    def take_back(self) -> None:
        """Be in the foreground again, if the root's group still is."""
        if not self.lent:
            return
        self.lent = False
        try:
            if os.tcgetpgrp(0) == self._group:
                os.tcsetpgrp(0, self._own)
        except OSError:
            pass  # the terminal has been hung up meanwhile

    def signal(self, number: int) -> None:
        """Pass a signal on: to the whole group where it is a job, as a terminal and a shell would."""
        try:
            if self._group and self._group == self._root:
                os.killpg(self._group, number)
            else:
                os.kill(self._root, number)
        except ProcessLookupError:
            pass  # it has ended: the next wait tells


def _reap(root: int) -> int | None:
    """Take every child that has ended, orphans of the tree too; the wait status of ``root`` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == root:
            found = status
