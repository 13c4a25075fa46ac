"""Asking inside: what comes back, what is refused, and what the asked process is left with."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall
from replant.errors import Blocker, ReplantError
from replant.tracee import blob, memory, remote, vdso, visit
from replant.tracee.batch import CallFailed
from replant.tracee.freeze import freeze
from replant.tracee.questions import Questions

from .support import Target, build, dumper, python, running, state, status_of, until

IDLE = "print('ready', flush=True); input()"
GETTID = Questions([Call(nr.gettid)])


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_answers_and_outs() -> None:
    with python(IDLE) as process, freeze(process.pid) as frozen:
        (thread,) = frozen.tasks[0].threads
        calls = [
            Call(nr.getpid),
            Call(nr.prctl, 16, Out(16)),
            Call(nr.getcwd, Out(256), 256),
            Call(nr.close, -1, ok=(9,)),
        ]
        answers = remote.ask(thread, calls)
        assert answers[0].ret == process.pid
        assert answers[1].outs[0].rstrip(b"\0").startswith(b"python")
        assert answers[2].outs[0].partition(b"\0")[0] == os.getcwd().encode()
        assert answers[3].ret == -errno.EBADF


def test_a_failure_tells_what_ran_before() -> None:
    with python(IDLE) as process, freeze(process.pid) as frozen:
        calls = [Call(nr.getpid), Call(nr.close, -1, why="nothing"), Call(nr.getppid)]
        with pytest.raises(CallFailed, match=r"close \(nothing\) failed inside task") as failed:
            remote.ask(frozen.tasks[0].threads[0], calls)
        assert (failed.value.index, failed.value.errno, len(failed.value.answers)) == (1, errno.EBADF, 2)


def test_nothing_stays() -> None:
    with python(IDLE) as process, freeze(process.pid) as frozen:
        before = maps(process.pid)
        remote.ask(frozen.tasks[0].threads[0], GETTID)
        assert maps(process.pid) == before
        inside = memory.Memory(process.pid)
        code = vdso.base(process.pid, inside) + vdso.room()
        assert not any(inside.read(code, blob.END))
        inside.close()


def test_many_processes_at_a_time() -> None:
    with running("bash", "-c", "for _ in {1..150}; do sleep 1000 & done; echo ready; wait") as process:
        with freeze(process.pid) as frozen:
            tids = [inside.ask(inside.task.threads[0], GETTID)[0].ret for inside in remote.each(frozen.tasks, GETTID)]
            assert tids == [task.pid for task in frozen.tasks]
        until(lambda: all(state(task.pid) == "S" for task in frozen.tasks))


def test_an_ask_that_needs_more_room() -> None:
    with python(IDLE) as process, freeze(process.pid) as frozen:
        (thread,) = frozen.tasks[0].threads
        with remote.Inside(frozen.tasks[0]) as inside:
            assert inside.ask(thread, GETTID)[0].ret == thread.tid
            answers = inside.ask(thread, [Call(nr.getpid)] * 5000)
            assert [answer.ret for answer in answers] == [process.pid] * 5000


TAKEN = """
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_size_t] * 6
libc.mmap.restype = ctypes.c_size_t
assert libc.mmap(0x200000000000, 4096, 3, 0x32, 2**64 - 1, 0) == 0x200000000000
ctypes.memset(0x200000000000, 77, 4096)
print("ready", flush=True); input()
print(set(ctypes.string_at(0x200000000000, 4096)), flush=True)
"""


def test_an_arena_elsewhere() -> None:
    with python(TAKEN) as process:
        with freeze(process.pid) as frozen:
            assert remote.ask(frozen.tasks[0].threads[0], GETTID)[0].ret == process.pid
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"{77}\n"


LIMITED = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1, 1))\n" + IDLE
FILTERED = "import ctypes\nctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\nimport struct\n" + (
    "code = [(0x20, 0, 0, 0), (0x15, 0, 1, 186), (6, 0, 0, 0x50001), (6, 0, 0, 0x7fff0000)]  # gettid is an error\n"
    "code = ctypes.create_string_buffer(b''.join(struct.pack('<HBBI', *one) for one in code))\n"
    "program = struct.pack('<HxxxxxxQ', 4, ctypes.addressof(code))\n"
    "assert ctypes.CDLL(None).prctl(22, 2, program) == 0\n"
    "ask = lambda: ctypes.CDLL(None).syscall(186)\nassert ask() == -1\n" + IDLE + "\nassert ask() == -1\n"
)


def test_a_filter_is_off_while_we_ask_and_on_afterwards() -> None:
    with python(FILTERED) as process:
        with freeze(process.pid) as frozen:
            assert remote.ask(frozen.tasks[0].threads[0], GETTID)[0].ret == process.pid
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(10) == 0


@pytest.mark.parametrize(("program", "code"), [(LIMITED, "no-arena")])
def test_refusals_leave_the_process_alone(program: str, code: str) -> None:
    with python(program) as process:
        with freeze(process.pid) as frozen:
            before = maps(process.pid)
            with pytest.raises(Blocker) as blocker:
                remote.ask(frozen.tasks[0].threads[0], GETTID)
            assert blocker.value.code == code
            assert maps(process.pid) == before
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(10) == 0


def test_a_stopped_process_is_asked_and_stays_stopped() -> None:
    with python(IDLE) as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: state(process.pid) == "T")
        with freeze(process.pid) as frozen:
            assert remote.ask(frozen.tasks[0].threads[0], GETTID)[0].ret == process.pid
        until(lambda: state(process.pid) == "T")
        os.kill(process.pid, signal.SIGCONT)
        until(lambda: state(process.pid) == "S")


def waiting(pid: int) -> dict[int, list[str]]:
    """The pending signals of each thread of a process, and of the process itself."""
    tids = map(int, os.listdir(f"/proc/{pid}/task"))
    return {
        tid: re.findall(r"(?:SigPnd|ShdPnd):\t(\w+)", Path(f"/proc/{pid}/task/{tid}/status").read_text())
        for tid in tids
    }


def test_second_stops_go_on_waiting() -> None:
    """In a process that is stopped already, each in its own queue, whichever of the threads are asked."""
    with python(f"import threading; threading.Thread(target=input).start(); {IDLE}") as process:
        (other,) = {int(tid) for tid in os.listdir(f"/proc/{process.pid}/task")} - {process.pid}
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: state(process.pid) == state(other) == "T")
        os.kill(process.pid, signal.SIGSTOP)
        syscall(nr.tgkill, process.pid, other, signal.SIGSTOP)
        before = waiting(process.pid)
        assert before[other] == ["0000000000040000"] * 2
        with freeze(process.pid) as frozen:
            for thread in frozen.tasks[0].threads:
                assert remote.ask(thread, GETTID)[0].ret == thread.tid
            assert sorted(queue for queue, _ in frozen.tasks[0].second_stops) == [0, other]
        until(lambda: state(process.pid) == state(other) == "T")
        assert waiting(process.pid) == before
        os.kill(process.pid, signal.SIGCONT)
        until(lambda: state(process.pid) == state(other) == "S")


def test_a_second_stop_is_gone_with_the_first() -> None:
    """A SIGCONT that comes during the freeze discards the SIGSTOP that has been taken."""
    with python(IDLE) as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: state(process.pid) == "T")
        os.kill(process.pid, signal.SIGSTOP)
        with freeze(process.pid) as frozen:
            remote.ask(frozen.tasks[0].threads[0], GETTID)
            assert frozen.tasks[0].second_stops
            os.kill(process.pid, signal.SIGCONT)
        until(lambda: state(process.pid) == "S")


def test_stopped_while_it_is_asked() -> None:
    """A SIGSTOP that comes while the thread is inside is kept, and stops the process afterwards."""
    with python(IDLE) as process:
        with freeze(process.pid) as frozen:
            os.kill(process.pid, signal.SIGSTOP)
            assert remote.ask(frozen.tasks[0].threads[0], GETTID)[0].ret == process.pid
        until(lambda: state(process.pid) == "T")
        os.kill(process.pid, signal.SIGCONT)
        until(lambda: state(process.pid) == "S")


SLEEPING = """
import ctypes, struct, time
libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
print(time.monotonic(), flush=True)
result = libc.nanosleep(struct.pack("<qq", 2, 0), None)
print(result, time.monotonic(), flush=True)
"""


def sleeps_in(pid: int, number: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().startswith(f"{number} ")


@pytest.mark.parametrize("deadly", [False, True], ids=["alive", "dying"])
def test_a_sleep_takes_its_time_and_no_more(deadly: bool) -> None:
    with python(SLEEPING) as process:
        start = float(process.stdout.readline())
        until(lambda: sleeps_in(process.pid, nr.clock_nanosleep))
        step = 1
        while time.monotonic() < start + 1:
            status_of(dumper(process.pid, step if deadly else 0))
            step = step % 35 + 1
        result, end = process.stdout.readline().split()
        assert result == b"0"
        assert start + 2 <= float(end) < start + 3  # a sleep that starts again after each visit ends after that


SUSPENDED = """
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
libc.signal(10, handler)
signal.pthread_sigmask(signal.SIG_SETMASK, {10, 12})
print("ready", flush=True)
result = libc.sigsuspend(bytes(128))
print(result, ctypes.get_errno(), *map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())), flush=True)
"""


def test_a_temporary_mask_comes_and_goes_as_before() -> None:
    with python(SUSPENDED) as process:
        until(lambda: sleeps_in(process.pid, nr.rt_sigsuspend))
        step = 1
        while status_of(dumper(process.pid, step)):
            until(lambda: sleeps_in(process.pid, nr.rt_sigsuspend))
            step += 1
        until(lambda: sleeps_in(process.pid, nr.rt_sigsuspend))
        os.kill(process.pid, signal.SIGUSR1)
        assert process.stdout.readline() == b"-1 4 10 12\n"


def test_a_signal_blocked_by_the_thread_is_not_used() -> None:
    blocking = "import signal\nsignal.pthread_sigmask(0, {23, 28, 17, 13, 25})\n" + IDLE
    with python(blocking) as process, freeze(process.pid) as frozen:
        (thread,) = frozen.tasks[0].threads
        assert visit.trap_signal(thread) == 0
        for sent in (signal.SIGURG, signal.SIGWINCH, signal.SIGCHLD):
            os.kill(process.pid, sent)
        assert remote.ask(thread, GETTID)[0].ret == process.pid
        pending = int(next(x for x in open_status(process.pid) if x.startswith("ShdPnd")).split()[1], 16)
        assert pending == sum(1 << number - 1 for number in (signal.SIGURG, signal.SIGWINCH, signal.SIGCHLD))


def open_status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_a_thread_that_waited_in_vain_is_told_from_a_frozen_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "trap_signal", lambda thread: 0)
    with python(IDLE) as process:
        with pytest.raises(ReplantError) as error, freeze(process.pid) as frozen:
            inside = remote.Inside(frozen.tasks[0])
            inside.enter(frozen.tasks[0].threads[0], 100)
            time.sleep(1.2)
            inside.close()
        assert error.value.code == "overslept"
        assert "200000000000" not in maps(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(10) == 0


def test_a_killed_process_is_gone() -> None:
    with python(IDLE) as process, freeze(process.pid) as frozen, remote.Inside(frozen.tasks[0]) as inside:
        inside.ask(frozen.tasks[0].threads[0], GETTID)
        process.kill()
        with pytest.raises(ReplantError) as error:
            inside.ask(frozen.tasks[0].threads[0], GETTID)
        assert error.value.code == "task-gone"


def test_threads_and_registers(tmp_path: Path) -> None:
    """A thousand visits of a target that checks registers, flags, stacks, sleeps, signals and sequences."""
    target = Target(build(tmp_path))
    try:
        for _ in range(25):
            with freeze(target.pid) as frozen, remote.Inside(frozen.tasks[0]) as inside:
                for thread in frozen.tasks[0].threads * 4:
                    assert inside.ask(thread, GETTID)[0].ret == thread.tid
            target.check()
        target.await_rounds(2)
        assert target.interrupted == 0
        target.end()
    finally:
        target.kill()


SHARING = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <unistd.h>
static char stack[65536];
static int child(void *x) { pause(); return 0; }
int main(void) {
    clone(child, stack + sizeof stack, CLONE_VM | 17, 0);
    puts("ready"); fflush(stdout);
    pause();
}
"""


def test_processes_that_share_their_memory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sharing.c").write_text(SHARING)
    subprocess.run(["gcc", "-w", "-o", tmp_path / "sharing", tmp_path / "sharing.c"], check=True)
    with running(str(tmp_path / "sharing")) as process, freeze(process.pid) as frozen:
        codes = []
        for inside in remote.each(frozen.tasks, GETTID):
            try:
                codes.append(inside.ask(inside.task.threads[0], GETTID)[0].ret)
            except Blocker as blocker:
                codes.append(blocker.code)
        assert codes == [process.pid, "shared-address-space"]


def test_a_release_takes_everybody_home() -> None:
    """Whatever has been left open, here a generator that an exception holds."""
    with python(SUSPENDED) as process:
        until(lambda: sleeps_in(process.pid, nr.rt_sigsuspend))
        before = maps(process.pid)
        insides = None
        with pytest.raises(ZeroDivisionError), freeze(process.pid) as frozen:
            insides = remote.each(frozen.tasks, GETTID)
            for _ in insides:
                _ = 1 / 0
        assert maps(process.pid) == before
        os.kill(process.pid, signal.SIGUSR1)
        assert process.stdout.readline() == b"-1 4 10 12\n"
        del insides
