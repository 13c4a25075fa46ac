"""For programs in Python: say ``ready``, and answer SIGUSR1 with a verdict on oneself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

# At import, before any thread is born: it would inherit a mask that lets the signal end the process.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])


def write(name: str, text: str) -> None:
    """Make the file ``name`` appear with its contents at once."""
    with open(name + ".part", "w") as file:
        file.write(text)
    os.rename(name + ".part", name)


def verdict(check: Callable[[], None]) -> None:
    """Run ``check`` and write what it says: ``ok``, or the exception."""
    try:
        check()
    except BaseException as wrong:
        write("verdict", f"{type(wrong).__name__}: {wrong}")
    else:
        write("verdict", "ok")


def serve(check: Callable[[], None]) -> None:
    """Be ready, and check at every SIGUSR1, for ever."""
    write("ready", str(os.getpid()))
    while True:
        signal.sigwait([signal.SIGUSR1])
        verdict(check)
