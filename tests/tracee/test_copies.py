"""Invisible copies: the memory of one instant, and nothing in the process that tells of them, whenever we die."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.errors import ReplantError
from replant.tracee import copies as copying
from replant.tracee import memory, remote
from replant.tracee.copies import Copies
from replant.tracee.freeze import freeze

from .support import Target, _die_at, build, children, python, state, status_of, until

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("target"))


@pytest.fixture
def target(program: Path) -> Iterator[Target]:
    running = Target(program)
    try:
        yield running
    finally:
        running.kill()


def make(pid: int, copies: Copies, subreapers: tuple[int, ...] = ()) -> None:
    with freeze(pid) as frozen:
        copies.make([task for task in frozen.tasks if not task.zombie], subreapers)


def copier(pid: int, step: int = 0, subreapers: tuple[int, ...] = ()) -> int:
    """Fork a process that copies ``pid``, and kills itself before its request number ``step``."""
    child = os.fork()
    if child:
        return child
    try:
        if step:
            _die_at(step)
        with Copies() as copies:
            make(pid, copies, subreapers)
        os._exit(0)
    except BaseException as error:
        print("copier:", repr(error), file=sys.stderr)
        os._exit(1)


def is_gone(pid: int) -> bool:
    try:
        return state(pid) in "ZX"
    except FileNotFoundError:
        return True


def test_a_copy_leaves_nothing(target: Target) -> None:
    maps, descriptors = target.maps(), target.descriptors()
    for _ in range(5):
        with Copies() as copies:
            make(target.pid, copies)
            (copy,) = copies.tasks.values()
            assert children(target.pid) == []
            assert os.listdir(f"/proc/{copy.pid}/fd") == []
            assert os.getsid(copy.pid) != os.getsid(target.pid)
            target.await_rounds(1)
        until(lambda pid=copy.pid: is_gone(pid))
    assert target.maps() == maps
    assert target.descriptors() == descriptors
    assert target.interrupted == 0
    target.end()


MEMORY = """
import ctypes, mmap, os, sys
area = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area[:] = b"before" + bytes((1 << 20) - 6)
print("ready", flush=True)
print(ctypes.addressof(ctypes.c_char.from_buffer(area)), flush=True)
for line in sys.stdin:
    area[:5] = b"after"
    print("written", flush=True)
"""


def test_a_copy_is_of_the_instant() -> None:
    with python(MEMORY) as program, Copies() as copies:
        address = int(program.stdout.readline())
        make(program.pid, copies)
        program.stdin.write(b"\n")
        program.stdin.flush()
        assert program.stdout.readline() == b"written\n"
        copy = copies.tasks[program.pid]
        assert memory.read(program.pid, address, 6) == b"aftere"
        assert memory.read(copy.pid, address, 6) == b"before"
        assert remote.ask(copy.threads[0], [Call(nr.getpid)])[0].ret == copy.pid


def test_death_at_every_step(target: Target) -> None:
    maps, descriptors = target.maps(), target.descriptors()
    step = 1
    while status_of(copier(target.pid, step)) == -signal.SIGKILL:
        target.check()
        until(lambda: children(target.pid) == [])
        step += 1
    assert step > 50
    target.await_rounds(3)
    assert target.maps() == maps
    assert target.descriptors() == descriptors
    target.end()


def test_death_at_random_moments(target: Target) -> None:
    began = time.monotonic()
    assert status_of(copier(target.pid)) == 0
    longest = time.monotonic() - began
    for _ in range(60):
        child = copier(target.pid)
        time.sleep(random.random() * longest)
        os.kill(child, signal.SIGKILL)
        status_of(child)
        target.check()
    until(lambda: children(target.pid) == [])
    target.end()


FAMILY = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(36, 1)
child = os.fork()
if not child:
    while True:
        signal.pause()
print("ready", flush=True)
print(child, flush=True)
for line in sys.stdin:
    flag = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(flag))
    print(flag.value, flush=True)
"""


@pytest.mark.parametrize("step", [0, *range(40, 120, 4)])
def test_a_tree_with_a_subreaper_inherits_no_copy(step: int) -> None:
    with python(FAMILY) as program:
        child = int(program.stdout.readline())
        try:
            status_of(copier(program.pid, step, (program.pid,)))
            until(lambda: children(program.pid) == [child] and children(child) == [])
            program.stdin.write(b"\n")
            program.stdin.flush()
            assert program.stdout.readline() == b"1\n"
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_may_not_fork_has_no_copy() -> None:
    with python("import sys\nprint('ready', flush=True)\nsys.stdin.read()") as program:
        libc = ctypes.CDLL(None, use_errno=True)
        with freeze(program.pid) as frozen, Copies() as copies:
            thread = frozen.tasks[0].threads[0]
            none = ctypes.create_string_buffer(bytes(16))
            assert libc.prlimit(program.pid, resource.RLIMIT_NPROC, none, None) == 0
            remote.ask(thread, [Call(nr.setresuid, 65534, 65534, 65534)])  # root has no such limit
            copies.make(frozen.tasks, ())
            assert not copies.tasks
            assert list(copies.failed) == [program.pid]
        assert children(program.pid) == []
        assert program.poll() is None


def test_want_of_memory_is_told(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    """Instead of the copy a mapping is asked for that is too large for any address space."""
    failing = Call(nr.mmap, 0, 1 << 62, 0, 0x22, -1, 0)
    made = copying.x86_64.clone
    monkeypatch.setattr(copying, "Call", lambda number, *a, **k: failing if number == made else Call(number, *a, **k))
    with Copies() as copies, pytest.raises(ReplantError, match="not enough memory") as caught:
        make(target.pid, copies)
    assert caught.value.code == "no-memory"
    assert children(target.pid) == []
    target.end()


MANY = """
import os, signal, sys
for n in range(70):
    if not os.fork():
        signal.pause()
print("ready", flush=True)
sys.stdin.read()
"""


def test_all_are_copied_at_once() -> None:
    """More than go abreast, each with its own memory."""
    with python(MANY) as process:
        kids = children(process.pid)
        with Copies() as copies:
            make(process.pid, copies)
            assert len(copies.tasks) == 71
            assert children(process.pid) == kids
            assert not any(children(pid) for pid in kids)
            lived = [copy.pid for copy in copies.tasks.values()]
        until(lambda: all(map(is_gone, lived)))
