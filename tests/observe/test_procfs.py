"""procfs against what the process itself knows: the reading side and the kernel's other interfaces must agree."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from replant.errors import TaskGone
from replant.observe import procfs

ME = os.getpid()


@pytest.fixture
def zombie() -> Iterator[int]:
    pid = os.fork()
    if not pid:
        os._exit(3)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    os.waitpid(pid, 0)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as child:
        yield child
        child.kill()


def test_stat_and_status_know_what_the_process_knows() -> None:
    st, status = procfs.stat(ME), procfs.status(ME)
    assert (st.pid, st.ppid, st.pgrp, st.session) == (ME, os.getppid(), os.getpgid(0), os.getsid(0))
    assert status.uids[:3] == os.getresuid() and status.gids[:3] == os.getresgid()
    assert list(status.groups) == sorted(os.getgroups())
    assert status.cpus_allowed == sum(1 << cpu for cpu in os.sched_getaffinity(0))


def test_signal_masks_are_bits() -> None:
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, 64})
    try:
        status = procfs.status(ME, threading.get_native_id())
        assert status.sig_blocked & (1 << (signal.SIGUSR1 - 1)) and status.sig_blocked >> 63 == 1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def test_umask_and_limits() -> None:
    old = os.umask(0o35)
    try:
        assert procfs.status(ME).umask == 0o35
    finally:
        os.umask(old)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = procfs.limits(ME)
    assert limits["nofile"] == (soft, hard) and len(limits) == 16


@pytest.mark.parametrize("name", [") R (\n\\", "\\n\\\\n", "(((", "\udcff é"])
def test_a_command_name_of_strange_characters(name: str) -> None:
    write = f"open('/proc/self/comm', 'wb').write({os.fsencode(name)!r})"
    code = f"import sys; {write}; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        assert procfs.stat(child.pid).comm == procfs.status(child.pid).name == name
        child.kill()


def test_maps_agree_with_smaps_and_name_the_flags() -> None:
    with mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_DONTDUMP)
        area.madvise(mmap.MADV_DONTFORK)
        pid = os.getpid()
        plain, flagged = procfs.maps(pid, vmflags=False), procfs.maps(pid)
        marked = [m for m in flagged if m.flags and {"dd", "dc"} <= set(m.flags.split())]
        assert marked and all(m.prot == 3 and not m.shared for m in marked)
        # the heap of this very process may grow between the two readings
        assert {m._replace(flags=None) for m in flagged if m.path.endswith(".so")} <= set(plain)


def test_file_descriptions(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "a b\n")
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, b"12345")
        info = procfs.fdinfo(ME, fd)
        assert info.pos == 5 and info.flags & os.O_APPEND and info.flags & os.O_CLOEXEC
        [entry] = [f for f in procfs.fds(ME) if f.number == fd]
        assert (entry.target, entry.inode, entry.size) == (path, os.fstat(fd).st_ino, 5)
        assert procfs.fdinfos(ME)[fd] == info
        with pytest.raises(FileNotFoundError):
            procfs.fdinfo(ME, 9999)
    finally:
        os.close(fd)


def test_tree_has_parents_first_and_children_of_any_thread() -> None:
    started: list[subprocess.Popen[bytes]] = []
    spawned, done = threading.Event(), threading.Event()

    def spawn() -> None:
        started.append(subprocess.Popen(["sh", "-c", "sleep 100 & echo ready; wait"], stdout=-1))
        spawned.set()
        done.wait()

    thread = threading.Thread(target=spawn)
    thread.start()
    spawned.wait(10)
    [shell] = started
    try:
        assert shell.stdout and shell.stdout.readline() == b"ready\n"
        [child] = procfs.children(shell.pid)
        deadline = time.monotonic() + 60
        while procfs.stat(child).comm != "sleep":
            assert time.monotonic() < deadline
        nodes = procfs.tree(ME)
        order = [n.pid for n in nodes]
        assert order[0] == ME and shell.pid in order
        assert [n.comm for n in nodes if n.ppid == shell.pid] == ["sleep"]
        assert all(order.index(n.ppid) < order.index(n.pid) for n in nodes[1:])
        assert thread.native_id in procfs.threads(ME)
    finally:
        for pid in procfs.children(shell.pid):
            os.kill(pid, signal.SIGKILL)
        done.set()
        thread.join()
        shell.wait()
        shell.stdout.close()


def test_posix_timers_are_told() -> None:
    code = (
        "import ctypes as c; t=c.c_void_p(); libc=c.CDLL(None);"
        "e=(c.c_int*16)(); e[0]=0x77; e[2]=12; assert not libc.timer_create(1,e,c.byref(t));"
        "print('ready', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        assert procfs.timers(child.pid) == [(0, 12, 0x77, "signal", f"pid.{child.pid}", 1)]
        child.kill()


def test_a_zombie_has_little_and_raises_nothing(zombie: int) -> None:
    assert procfs.stat(zombie).state == "Z" and procfs.stat(zombie).exit_code == 3 << 8
    assert procfs.maps(zombie) == [] and procfs.fds(zombie) == [] and procfs.fdinfos(zombie) == {}
    assert procfs.auxv(zombie) == () and procfs.cmdline(zombie) == procfs.environ(zombie) == b""
    assert procfs.exe(zombie) is procfs.cwd(zombie) is procfs.root(zombie) is None
    assert procfs.mountinfo(zombie) == [] and procfs.threads(zombie) == [zombie]
    assert procfs.status(zombie).umask is None
    assert "user" in procfs.namespaces(zombie) and "net" not in procfs.namespaces(zombie)


READERS = [
    *(procfs.stat, procfs.status, procfs.maps, procfs.fds, procfs.fdinfos, procfs.limits, procfs.auxv),
    *(procfs.namespaces, procfs.mountinfo, procfs.threads, procfs.children, procfs.tree, procfs.timers),
    *(procfs.exe, procfs.cwd, procfs.root, procfs.cmdline, procfs.environ, procfs.oom_score_adj),
]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_a_task_that_has_gone_is_told_as_such(reader: object, sleeper: subprocess.Popen[bytes]) -> None:
    assert callable(reader)
    reader(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(TaskGone) as caught:
        reader(sleeper.pid)
    assert caught.value.pid == sleeper.pid
