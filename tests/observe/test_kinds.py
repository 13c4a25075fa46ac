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

NAMES = ("anon_inode:[eventfd]", "anon_inode:inotify", "socket:[1]", "pipe:[1]", "net:[1]", "memfd:x")
TMPFS = "/dev/shm"

# of a mount that has been taken away every path begins with the file's own name
_OPEN = """
import ctypes, os, sys
detached, base, *names = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
if int(detached):
    if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None):
        sys.exit("no mount namespace")
    if libc.mount(b"tmpfs", base.encode(), b"tmpfs", 0, None):
        sys.exit("no tmpfs")
linked = [os.open(f"{base}/{name}", os.O_CREAT | os.O_RDWR, 0o600) for name in names]
removed = [os.open(f"{base}/{name}", os.O_RDWR) for name in names]
for fd, name in zip(linked, names):
    os.unlink(f"{base}/{name}")
    os.dup2(os.open(f"{base}/{name}", os.O_CREAT | os.O_RDWR, 0o600), fd)
if int(detached) and libc.umount2(base.encode(), 2):
    sys.exit("still mounted")
real = [os.eventfd(0), *os.pipe(), os.memfd_create("x")]
print(linked, removed, real, sep=";", flush=True)
sys.stdin.read()
"""


@contextmanager
def impostors(detached: bool) -> Iterator[tuple[int, list[list[int]]]]:
    """A process with files of these names, the same removed, and some real ones: its pid, and the three lists."""
    with tempfile.TemporaryDirectory(dir=TMPFS) as base:
        command = [sys.executable, "-c", _OPEN, str(int(detached)), base, *NAMES]
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
    assert isinstance(file.target, str) and file.dev
    facts = SimpleNamespace(**file._asdict(), link=file.target, grab=lambda: held)
    facts.dev, facts.rdev = os.makedev(*file.dev), os.makedev(*file.rdev)
    held = os.open(f"/proc/{file.pid}/fd/{file.fd}", os.O_RDONLY) if stat.S_ISREG(facts.mode) else -1
    try:
        return registry.file_name(facts)
    finally:
        if held >= 0:
            os.close(held)


@pytest.mark.parametrize("detached", [False, True], ids=["mounted", "detached"])
def test_a_file_named_like_a_kind_is_a_file(bpf: Observer, plain: Observer, detached: bool) -> None:
    with impostors(detached) as (pid, (linked, removed, real)):
        for observer in (bpf, plain):
            files = {file.fd: file for file in observer.files(pids=[pid])}
            assert [os.path.basename(str(files[fd].target)) for fd in linked] == list(NAMES)
            [folder] = {os.path.dirname(str(files[fd].target)) for fd in linked + removed}
            assert folder == "/" if detached else folder.startswith(TMPFS)
            assert [kind(files[fd]) for fd in linked] == ["regular"] * len(NAMES)
            assert [kind(files[fd]) for fd in removed] == ["unlinked"] * len(NAMES)
            assert [kind(files[fd]) for fd in real] == ["eventfd", "pipe", "pipe", "memfd"]
