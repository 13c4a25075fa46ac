"""Targets that check themselves, and dumpers that die."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out, Track
from replant.tracee import memory, ptrace, questions, remote
from replant.tracee.freeze import freeze

THREADS = 10
HERE = Path(__file__).parent


def state(tid: int) -> str:
    return Path(f"/proc/{tid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen]:
    """A program that has said "ready"; killed with its process group in the end."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()


def python(program: str):
    return running(sys.executable, "-c", program)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def build(folder: Path) -> Path:
    program = folder / "target"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-pthread", "-o", program, HERE / "target.c"], check=True)
    return program


class Target:
    """A running target.c; `check` raises what it has found wrong."""

    def __init__(self, program: Path, *options: str) -> None:
        self.options = options
        self.fd = os.memfd_create("shared")
        os.ftruncate(self.fd, 4096)
        self.words = memoryview(mmap.mmap(self.fd, 4096)).cast("B").cast("Q")
        arguments = [program, f"/proc/self/fd/{self.fd}", *options]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, pass_fds=[self.fd])
        self.pid = self.process.pid
        self.await_rounds(1)

    def rounds(self) -> list[int]:
        return list(self.words[1 : 1 + THREADS])

    def check(self) -> None:
        found = self.words[1 + THREADS : 1 + 2 * THREADS].tolist()
        assert self.words[4 + 2 * THREADS] == 0, f"signal {self.words[4 + 2 * THREADS]} from nowhere"
        assert not any(found), [(number, word & 0xFFFF, word >> 32) for number, word in enumerate(found) if word]
        assert self.process.poll() is None, self.process.returncode

    def await_rounds(self, more: int) -> None:
        """Wait until every thread has done so many rounds more."""
        goal = [count + more for count in self.rounds()]
        deadline = time.monotonic() + 60
        while any(count < wanted for count, wanted in zip(self.rounds(), goal, strict=True)):
            self.check()
            assert time.monotonic() < deadline, (self.rounds(), goal, states(self.pid))
            time.sleep(0.001)
        self.check()

    @property
    def interrupted(self) -> int:
        """How often epoll_wait has given EINTR."""
        return self.words[3 + 2 * THREADS]

    def maps(self) -> list[str]:
        """Where things are mapped: addresses, protections, names; a stack that grew is no difference."""
        lines = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        return [line for line in lines if "[stack]" not in line]

    def descriptors(self) -> list[str]:
        return sorted(os.listdir(f"/proc/{self.pid}/fd"))

    def end(self) -> None:
        """Let it end, and see that no signal was lost or invented."""
        self.words[0] = 1
        out, _ = self.process.communicate(timeout=60)
        self.words.release()
        sent, got = map(int, out.split())
        assert sent == got, f"{sent} signals sent, {got} taken"
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


def states(pid: int) -> list[str]:
    """What its threads are doing, for messages."""
    found = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        status = Path(f"/proc/{pid}/task/{tid}/status").read_text()
        found += [line for line in status.splitlines() if line.startswith(("State", "TracerPid", "SigBlk"))]
    return found


def opening() -> questions.Questions:
    """Calls that open a descriptor, and the cleanup that closes it."""
    track = Track("target")
    fd = track.call(nr.memfd_create, b"left behind", 0)
    track.call(nr.write, fd, b"x", 1)
    track.call(nr.close, fd)
    return questions.Questions(track.calls[:2], track.calls[2:], track)


ASKS = questions.Questions(
    [Call(nr.gettid), Call(nr.prctl, 16, Out(16)), Call(nr.close, -1, ok=(9,)), Call(nr.getcwd, Out(64), 64)]
)


HARMLESS = questions.Questions([Call(nr.getpid)], [Call(nr.getppid)])


def visit(pid: int) -> None:
    """What a dump does: freeze, ask every thread, open and close in the first one, release."""
    opens = opening()
    with freeze(pid) as frozen:
        for inside in remote.each([task for task in frozen.tasks if not task.zombie], ASKS):
            first, *others = inside.task.threads
            assert inside.ask(first, ASKS)[0].ret == first.tid
            fd = inside.ask(first, opens)[0].ret
            inside.ask(first, [Call(nr.close, fd)])
            inside.ask(first, HARMLESS)
            for thread in others:
                assert inside.ask(thread, ASKS)[0].ret == thread.tid


def dumper(pid: int, fatal_step: int = 0) -> int:
    """Fork a process that visits ``pid``, and kills itself before its request number ``fatal_step``."""
    child = os.fork()
    if child:
        return child
    try:
        if fatal_step:
            _die_at(fatal_step)
        visit(pid)
        os._exit(0)
    except BaseException as error:
        print("dumper:", repr(error), file=sys.stderr)
        os._exit(1)


def _die_at(fatal_step: int) -> None:
    steps = 0

    def counted(function):
        def call(*arguments):
            nonlocal steps
            steps += 1
            if steps == fatal_step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments)

        return call

    ptrace._raw = counted(ptrace._raw)
    memory.Memory.write = counted(memory.Memory.write)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
