"""What is observed: processes that hold still, made and ended by the benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MAPS = (
    "import mmap, signal, sys; m = mmap.mmap(-1, 4096 * 20000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0);"
    "import ctypes; a = ctypes.addressof; libc = ctypes.CDLL(None);"
    "libc.mmap.restype = ctypes.c_void_p;"
    "b = libc.mmap(None, ctypes.c_size_t(4096 * 10001), 0, 0x22, -1, 0);"
    "[libc.mprotect(ctypes.c_void_p(b + i * 4096), 4096, 3) for i in range(0, 10000, 2)];"
    "print('ready', flush=True); signal.pause()"
)
_FILES = (
    "import os, signal; keep = [os.open('/dev/null', 0) for _ in range(400)];"
    "keep += [os.open('/etc/passwd', 0) for _ in range(300)]; keep += [x for _ in range(150) for x in os.pipe()];"
    "print('ready', flush=True); signal.pause()"
)


@contextmanager
def script(text: str) -> Iterator[int]:
    """A Python process that says ready."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", text], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        try:
            yield child.pid
        finally:
            child.kill()


@contextmanager
def processes(count: int) -> Iterator[list[int]]:
    """Small processes, children of this one."""
    pids: list[int] = []
    try:
        for _ in range(count):
            pids += [os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})]
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def many_maps() -> object:
    """One process of more than 10,000 mappings."""
    return script(_MAPS)


def many_files() -> object:
    """One process of 1000 descriptors."""
    return script(_FILES)
