"""A test body in pid, mount, network and IPC namespaces of its own: all pids are free, and nothing outlives the test.

Four processes: the test runner; a helper that unshares; **init** (process 1), which reaps; the **body** (process 2).
When the body ends, init ends, and with it the kernel ends whatever is left in the namespace. If the runner dies or
gives up, the helper dies, and init with it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

import pytest

CLONE_NEWNS = 0x20000
CLONE_NEWIPC = 0x8000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def run_isolated(body: Callable[[], object]) -> None:
    """Call ``body`` in fresh namespaces; its failure or skip becomes one here, with the traceback as the message."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    read_end, write_end = os.pipe()
    helper = os.fork()
    if helper == 0:
        _leave_with(lambda: _helper(body, write_end))
    os.close(write_end)
    try:
        with open(read_end, encoding="utf-8", errors="replace") as pipe:
            verdict, _, text = pipe.read().partition("\n")
    finally:
        os.kill(helper, signal.SIGKILL)
        os.waitpid(helper, 0)
    if verdict == "skipped":
        pytest.skip(text)
    if verdict != "passed":
        pytest.fail(text or "the test's process was killed", pytrace=False)


def _leave_with(run: Callable[[], int]) -> None:
    """End this forked process with the number that ``run`` gives, never returning into the test runner."""
    code = 70
    try:
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _helper(body: Callable[[], object], report: int) -> int:
    _call("unshare", CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC)
    init = os.fork()
    if init == 0:
        _leave_with(lambda: _init(body, report))
    os.close(report)
    return os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]) & 0x7F


def _init(body: Callable[[], object], report: int) -> int:
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.setsid()  # a namespace's init in a group that is another task's number never finishes dying
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    _call("mount", b"proc", b"/proc", b"proc", 0, None)
    _call("mount", b"devpts", b"/dev/pts", b"devpts", 0, b"newinstance,ptmxmode=0666")  # numbers of terminals are free
    _loopback_up()
    worker = os.fork()
    if worker == 0:
        os.setsid()
        _leave_with(lambda: _body(body, report))
    os.close(report)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return os.waitstatus_to_exitcode(status) & 0x7F


def _body(body: Callable[[], object], report: int) -> int:
    verdict = "passed"
    try:
        body()
    except pytest.skip.Exception as skipped:
        verdict = f"skipped\n{skipped}"
    except BaseException:
        verdict = f"failed\n{traceback.format_exc()}"
    os.write(report, verdict.encode(errors="replace")[-60000:] if len(verdict) < 60000 else verdict.encode()[:60000])
    return verdict != "passed"


def _loopback_up() -> None:
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("<16sH14x", b"lo", 1)  # struct ifreq: IFF_UP
        fcntl.ioctl(s, 0x8914, request)  # SIOCSIFFLAGS


def _call(name: str, *args: object) -> None:
    if getattr(_libc, name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount_tmpfs(path: str) -> None:
    """An empty filesystem of the test's own."""
    _call("mount", b"none", path.encode(), b"tmpfs", 0, None)
