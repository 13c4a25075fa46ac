"""Staying with a restored tree: its reaper, the relay of its signals, the bearer of its root's status."""

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
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (*RELAYED, _signal.SIGCHLD))
        return self

    def __exit__(self, *_: object) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)

    def until_end(self, root: int) -> int:
        """Reap and relay until process ``root`` has ended; its status as a shell would give it."""
        while (status := _reap(root)) is None:
            number = _signal.sigwaitinfo((*RELAYED, _signal.SIGCHLD)).si_signo
            if number != _signal.SIGCHLD:
                os.kill(root, number)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


def _reap(root: int) -> int | None:
    """Take every child that has ended, orphans of the tree too; the wait status of ``root`` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == root:
            found = status
