"""A descriptor's kind is in its link and its mode: a file that is named like a kind stays a file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from replant.observe.facts import File
from replant.observe.observer import Observer
from replant.resources import registry

NAMES = ("anon_inode:[eventfd]", "anon_inode:inotify", "socket:[1]", "pipe:[1]", "net:[1]")
TMPFS = "/dev/shm"

# on a mount that the observer does not see every path begins with the file's own name
_OPEN = """
import ctypes, os, sys
private, base, *names = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
if int(private):
    if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None):
        sys.exit("no mount namespace")
    if libc.mount(b"tmpfs", base.encode(), b"tmpfs", 0, None):
        sys.exit("no tmpfs")
linked = [os.open(f"{base}/{name}", os.O_CREAT | os.O_RDWR, 0o600) for name in names]
removed = [os.open(f"{base}/{name}", os.O_RDWR) for name in names]
for fd, name in zip(linked, names):
    os.unlink(f"{base}/{name}")
    os.dup2(os.open(f"{base}/{name}", os.O_CREAT | os.O_RDWR, 0o600), fd)
real = [os.eventfd(0), *os.pipe()]
print(linked, removed, real, sep=";", flush=True)
sys.stdin.read()
"""


@contextmanager
def impostors(private: bool) -> Iterator[tuple[int, list[list[int]]]]:
    """A process with files of these names, the same removed, and some real ones: its pid, and the three lists."""
    with tempfile.TemporaryDirectory(dir=TMPFS) as base:
        command = [sys.executable, "-c", _OPEN, str(int(private)), base, *NAMES]
        with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) as child:
            try:
                assert child.stdout and child.stderr
                line = child.stdout.readline()
                if not line:
                    pytest.skip(child.stderr.read().strip())
                yield child.pid, [[int(fd) for fd in numbers.strip("[]\n").split(",")] for numbers in line.split(";")]
            finally:
                child.kill()


def kind(file: File) -> str:
    """The name of the kind that a dump would look for."""
    dev, rdev = os.makedev(*file.dev), os.makedev(*file.rdev)  # type: ignore[misc]
    facts = SimpleNamespace(link=file.target, mode=file.mode, dev=dev, rdev=rdev, nlink=file.nlink, size=file.size)
    return registry.file_name(SimpleNamespace(**vars(facts), flags=file.flags, fd=file.fd))  # type: ignore[arg-type]


@pytest.mark.parametrize("private", [False, True], ids=["seen", "unseen"])
def test_a_file_named_like_a_kind_is_a_file(bpf: Observer, plain: Observer, private: bool) -> None:
    with impostors(private) as (pid, (linked, removed, real)):
        for observer in (bpf, plain):
            files = {file.fd: file for file in observer.files(pids=[pid])}
            for fd, name in zip(linked, NAMES, strict=True):
                assert files[fd].target.startswith("/") and files[fd].target.endswith(f"/{name}")  # type: ignore[union-attr]
            assert all(stat.S_ISREG(files[fd].mode) for fd in linked + removed)  # type: ignore[arg-type]
            assert [kind(files[fd]) for fd in linked] == ["regular"] * len(NAMES)
            assert [kind(files[fd]) for fd in removed] == ["unlinked"] * len(NAMES)
            assert [kind(files[fd]) for fd in real] == ["eventfd", "pipe", "pipe"]
