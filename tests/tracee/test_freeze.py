"""Freezing and letting go, with the kernel's own files as the witness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replant.errors import Refused, TaskGone
from replant.tracee import memory, ptrace, resume, seize, wait
from replant.tracee.freeze import freeze
from replant.tracee.task import FrozenTask, FrozenThread

from .support import children, python, running, state, until

TREE = "sleep 1000 & (sleep 1000 & sleep 1000 & echo ready; wait) & wait"


def test_the_whole_tree_stops_and_runs_again() -> None:
    with running("bash", "-c", TREE) as process:
        with freeze(process.pid) as frozen:
            assert len(frozen.tasks) == 5
            assert frozen.tasks[0].pid == process.pid
            assert all(state(task.pid) == "t" for task in frozen.tasks)
        assert frozen.frozen_ms > 0
        until(lambda: all(state(task.pid) == "S" for task in frozen.tasks))


def test_all_threads_stop() -> None:
    program = "import threading, time\nfor _ in range(20): threading.Thread(target=time.sleep, args=(99,)).start()\n"
    with python(program + "print('ready', flush=True)") as process, freeze(process.pid) as frozen:
        (task,) = frozen.tasks
        assert {thread.tid for thread in task.threads} == set(map(int, os.listdir(f"/proc/{process.pid}/task")))
        assert all(state(thread.tid) == "t" for thread in task.threads)
        assert task.threads[0].tid == process.pid


def test_zombies_are_listed() -> None:
    program = "import os, time\nif os.fork() == 0: os._exit(3)\nprint('ready', flush=True); time.sleep(99)"
    with python(program) as process:
        until(lambda: "Z" in map(state, children(process.pid)))
        with freeze(process.pid) as frozen:
            assert [(task.zombie, len(task.threads)) for task in frozen.tasks] == [(False, 1), (True, 0)]


def test_a_stopped_process_stays_stopped() -> None:
    with running("bash", "-c", TREE) as process:
        os.kill(process.pid, signal.SIGTSTP)
        until(lambda: state(process.pid) == "T")
        with freeze(process.pid) as frozen:
            assert [task.stop_signal for task in frozen.tasks] == [signal.SIGTSTP, 0, 0, 0, 0]
        until(lambda: state(process.pid) == "T")
        os.kill(process.pid, signal.SIGCONT)
        until(lambda: state(process.pid) == "S")


def test_release_stopped() -> None:
    with running("bash", "-c", TREE) as process:
        with freeze(process.pid) as frozen:
            frozen.release("stop")
        until(lambda: all(state(task.pid) == "T" for task in frozen.tasks))
        os.killpg(process.pid, signal.SIGCONT)
        until(lambda: all(state(task.pid) == "S" for task in frozen.tasks))


def test_release_killed_leaves_nothing_but_an_exit_status() -> None:
    with running("bash", "-c", TREE) as process:
        with freeze(process.pid) as frozen:
            frozen.release("kill")
        assert state(process.pid) == "Z"
        until(lambda: all(not os.path.exists(f"/proc/{task.pid}") or state(task.pid) == "Z" for task in frozen.tasks))
        assert process.wait() == -signal.SIGKILL


def test_killing_many_threads_ends() -> None:
    program = "import threading, time\nfor _ in range(50): threading.Thread(target=time.sleep, args=(99,)).start()\n"
    with python(program + "print('ready', flush=True)") as process:
        with freeze(process.pid) as frozen:
            frozen.release("kill")
        assert process.wait() == -signal.SIGKILL


def test_an_exception_lets_everything_run() -> None:
    with running("bash", "-c", TREE) as process:
        with pytest.raises(ZeroDivisionError), freeze(process.pid) as frozen:
            _ = 1 / 0
        until(lambda: all(state(task.pid) == "S" for task in frozen.tasks))


def test_a_traced_task_is_refused_and_its_tracer_named() -> None:
    with running("bash", "-c", TREE) as process:
        (child, *_) = children(process.pid)
        tracer = os.fork()
        if not tracer:
            ptrace.seize(child)
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
        os.waitpid(tracer, os.WUNTRACED)
        try:
            with pytest.raises(Refused) as refused, freeze(process.pid):
                pass
            (blocker,) = refused.value.blockers
            assert (blocker.code, blocker.pid, blocker.resource) == ("traced", child, f"tracer {tracer}")
            until(lambda: state(process.pid) == "S")
        finally:
            os.kill(tracer, signal.SIGKILL)
            os.waitpid(tracer, 0)


def test_our_own_tree_is_refused() -> None:
    with pytest.raises(Refused) as refused, freeze(os.getpid()):
        pass
    assert refused.value.blockers[0].code == "self"


def test_a_process_that_is_not_there() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(TaskGone), freeze(process.pid):
        pass


def test_a_dead_leader_is_refused() -> None:
    program = "import threading, time, ctypes\nthreading.Thread(target=time.sleep, args=(99,)).start()\n"
    with python(program + "print('ready', flush=True); ctypes.CDLL(None).syscall(60, 0)") as process:
        until(lambda: state(process.pid) == "Z")
        with pytest.raises(Refused) as refused, freeze(process.pid):
            pass
        assert refused.value.blockers[0].code == "leader-ended"


VFORK = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) {
    puts("ready"); fflush(stdout);
    if (vfork() == 0) { char c; read(0, &c, 1); _exit(0); }
    puts("on"); fflush(stdout);
    pause();
}
"""


def test_a_vfork_parent_is_refused_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "vfork.c").write_text(VFORK)
    subprocess.run(["gcc", "-w", "-o", tmp_path / "vfork", tmp_path / "vfork.c"], check=True)
    with running(str(tmp_path / "vfork")) as process:
        until(lambda: state(process.pid) == "D")
        dumper = os.fork()
        if not dumper:
            try:
                seize._PATIENCE = 0.2
                freeze(process.pid).__enter__()
            except Refused as error:
                os._exit(7 if error.blockers[0].code == "does-not-stop" else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(dumper, 0)[1]) == 7
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.readline() == b"on\n"


FORKING = """
import os, sys, threading, time
print("ready", flush=True)
while True:
    for _ in range(3):
        if os.fork() == 0:
            thread = threading.Thread(target=lambda: None)
            thread.start()
            if os.fork() == 0:
                os._exit(0)
            thread.join()
            os._exit(0)
    for _ in range(3):
        os.wait()
"""


def test_a_tree_that_forks_and_ends_all_the_time() -> None:
    with python(FORKING) as process:
        for _ in range(100):
            with freeze(process.pid) as frozen:
                tids = {thread.tid for task in frozen.tasks for thread in task.threads}
                for task in frozen.tasks:
                    if task.zombie:
                        assert state(task.pid) == "Z"
                        continue
                    assert set(map(int, os.listdir(f"/proc/{task.pid}/task"))) <= tids
                    for thread in task.threads:
                        assert state(thread.tid) == "t"
                    assert set(children(task.pid)) <= {task.pid for task in frozen.tasks}


EXECUTING = """
import os, sys, threading
if sys.argv[1] == "first":
    print("ready", flush=True)
again = [sys.executable, "-I", "-S", __file__, "again"]
threading.Thread(target=os.execv, args=(sys.executable, again)).start()
threading.Event().wait()
"""


def test_a_thread_that_executes_another_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(EXECUTING)
    with running(sys.executable, "-I", "-S", str(program), "first") as process:
        for _ in range(60):
            with freeze(process.pid) as frozen:
                assert all(state(thread.tid) == "t" for thread in frozen.tasks[0].threads)
            time.sleep(0.002)
        assert process.poll() is None


EPOLL = """
import select, signal, ctypes, os
flag = []
libc = ctypes.CDLL(None, use_errno=True)
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(flag.append)
libc.signal(10, handler)
fd = libc.epoll_create1(0)
print("ready", flush=True)
result = libc.epoll_wait(fd, ctypes.create_string_buffer(12), 1, -1)
print(result, ctypes.get_errno(), len(flag), flush=True)
"""


def test_epoll_wait_sleeps_on_but_a_signal_ends_it() -> None:
    with python(EPOLL) as process:
        until(lambda: Path(f"/proc/{process.pid}/syscall").read_text().startswith("232 "))
        for _ in range(20):
            with freeze(process.pid):
                pass
            until(lambda: Path(f"/proc/{process.pid}/syscall").read_text().startswith("232 "))
        with freeze(process.pid) as frozen:
            (thread,) = frozen.tasks[0].threads
            assert ptrace.result(thread.registers) == -4
            assert ptrace.result(resume.in_user_mode(thread)) == 232
            os.kill(process.pid, signal.SIGUSR1)
        assert process.stdout.readline() == b"-1 4 1\n"


def test_memory_is_read_and_written() -> None:
    with python("print('ready', flush=True); input()") as process:
        line = next(row for row in Path(f"/proc/{process.pid}/maps").read_text().splitlines() if "[heap]" in row)
        start = int(line.split("-")[0], 16)
        first, second = memory.read_many(process.pid, [(start, 16), (start + 16, 8)])
        assert first + second == memory.read(process.pid, start, 24)
        memory.write(process.pid, start, first)
        with pytest.raises(OSError, match="Bad address"):
            memory.read(process.pid, 0x1000, 8)


def test_pending_signals_are_seen() -> None:
    program = "import signal, sys\nsignal.pthread_sigmask(0, [10, 35])\nprint('ready', flush=True); input()"
    with python(program) as process:
        for _ in range(100):
            os.kill(process.pid, 35)
        with freeze(process.pid) as frozen:
            tid = frozen.tasks[0].threads[0].tid
            infos = ptrace.peeksiginfo(tid, shared=True)
            assert [int.from_bytes(info[:4], "little") for info in infos] == [35] * 100
            assert ptrace.peeksiginfo(tid, shared=False) == []
            assert frozen.tasks[0].threads[0].sigmask & (1 << 34)


FAMILY = """
import os, signal
child = os.fork()
if not child:
    signal.pause()
os.write(1, b"ready\\n")
os.waitpid(child, 0)
os.write(1, b"it has ended\\n")
"""


def test_the_parent_of_a_task_that_dies_frozen_learns_of_it() -> None:
    with python(FAMILY) as process:
        (child,) = children(process.pid)
        with freeze(process.pid):
            os.kill(child, signal.SIGKILL)
            until(lambda: state(child) == "Z")
        assert process.stdout.readline() == b"it has ended\n"


def test_the_parent_of_a_task_that_dies_while_it_is_being_stopped_learns_of_it() -> None:
    with python(FAMILY) as process:
        (child,) = children(process.pid)
        thread = FrozenThread(FrozenTask(child), child)
        ptrace.seize(child)
        os.kill(child, signal.SIGKILL)
        until(lambda: state(child) == "Z")
        assert not seize.seize(thread)
        assert process.stdout.readline() == b"it has ended\n"


def test_wait_words() -> None:
    assert wait.group_stop(0x80137F) == signal.SIGSTOP
    assert wait.group_stop(0x80057F) == 0
    assert wait.delivery(0x0A7F) == signal.SIGUSR1
