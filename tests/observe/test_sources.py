"""Two sources, one truth: BPF and procfs are asked about the same stopped tree and must not differ in any field."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from replant.errors import TaskGone
from replant.observe import procfs, reference, sharing
from replant.observe.crosscheck import compare, compared, verify
from replant.observe.facts import File, Task, Vma
from replant.observe.field import MISSING, fields_of
from replant.observe.frozen import Frozen
from replant.observe.observer import Observer


def test_no_field_differs(two_hundred: list[int], bpf: Observer) -> None:
    count, differences = verify(two_hundred)
    assert not differences
    assert len(two_hundred) > 200 and count > 250_000


def test_a_difference_is_found(bpf: Observer) -> None:
    [task] = bpf.tasks(pids=[os.getpid()])
    for name in compared(Task):
        value = getattr(task, name)
        changed = task._replace(**{name: value + 1 if isinstance(value, int) else "changed"})
        assert len(compare(Task, [task], [changed])) >= 1, name
    assert len(compare(Task, [task], [])) == 1


def test_sharing_is_what_kcmp_says(stopped_zoo: list[int], bpf: Observer) -> None:
    tasks = [t for t in bpf.tasks(pids=stopped_zoo, threads=True) if t.state != "Z"]
    asked = [t._replace(**dict.fromkeys(sharing.KINDS, MISSING)) for t in tasks]
    for name in sharing.KINDS:
        keys = sharing.task_keys(name, [t.pid for t in tasks])
        asked = [t._replace(**{name: key}) for t, key in zip(asked, keys, strict=True)]
    left = [t._replace(seccomp_key=MISSING) for t in tasks]
    right = [t._replace(seccomp_key=MISSING) for t in asked]
    assert not compare(Task, left, right)
    assert len({t.fs_key for t in tasks}) > len({t.mm_key for t in tasks}) > 1


def test_shared_descriptions(stopped_zoo: list[int], bpf: Observer) -> None:
    files = bpf.files(pids=stopped_zoo)
    keys = sharing.file_keys([(f.pid, f.fd) for f in files])
    asked = [f._replace(file_key=key, ops_key=MISSING) for f, key in zip(files, keys, strict=True)]
    assert not compare(File, [f._replace(ops_key=MISSING) for f in files], asked)
    assert len(set(keys)) < len(files)


def test_a_stopped_tree_looks_as_in_procfs(stopped_zoo: list[int], bpf: Observer) -> None:
    frozen = Frozen(stopped_zoo, bpf)
    for pid in stopped_zoo:
        for tid in [None, *procfs.threads(pid)[1:]]:
            ours = frozen.stat(pid, tid) + frozen.status(pid, tid)
            theirs = procfs.stat(pid, tid) + procfs.status(pid, tid)
            assert [a for a in ours if a is not MISSING] == [
                b for a, b in zip(ours, theirs, strict=True) if a is not MISSING
            ]
        assert frozen.maps(pid) == [m for m in procfs.maps(pid) if m.path != "[vsyscall]"]
        assert frozen.fds(pid) == procfs.fds(pid)
        assert frozen.fdinfos(pid) == procfs.fdinfos(pid)


def test_what_only_the_kernel_tells(bpf: Observer) -> None:
    code = (
        "import ctypes, signal, sys; c = ctypes.CDLL(None);"
        "c.prctl(36, 1); c.prctl(1, 15); c.prctl(29, 77777); c.prctl(4, 0);"
        "stack = ctypes.create_string_buffer(65536);"
        "c.sigaltstack((ctypes.c_uint64 * 3)(ctypes.addressof(stack), 0, 65536), None);"
        "signal.setitimer(signal.ITIMER_REAL, 1000, 3);"
        "signal.setitimer(signal.ITIMER_VIRTUAL, 2000, 5);"
        "print(ctypes.addressof(stack), flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout
        address = int(child.stdout.readline())
        [task] = bpf.tasks(pids=[child.pid])
        assert task.subreaper is True and task.pdeath_signal == 15 and task.dumpable == 0
        assert task.timer_slack_ns == 77777 and task.altstack == (address, 65536, 0)
        armed, _, interval = task.itimer_real  # type: ignore[misc]
        assert armed and interval == 3 * 10**9
        assert task.itimers_cpu != bytes(32) and task.clear_child_tid and task.robust_list
        assert task.rseq and task.rseq_len and task.rseq_sig == 0x53053053
        child.kill()


def test_sequences_of_a_connection_move_with_what_is_sent(bpf: Observer) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted:
                before = sequences(bpf, client), sequences(bpf, accepted)
                client.send(bytes(100))
                assert accepted.recv(100)
                after = sequences(bpf, client), sequences(bpf, accepted)
    assert after[0][0] - before[0][0] == 100 == after[1][1] - before[1][1]
    assert before[0][0] == before[1][1] and before[0][1] == before[1][0]


def sequences(observer: Observer, sock: socket.socket) -> tuple[int, int]:
    [file] = [f for f in observer.files(pids=[os.getpid()]) if f.fd == sock.fileno()]
    assert file.family == socket.AF_INET and file.protocol == socket.IPPROTO_TCP
    assert isinstance(file.tcp_sequences, tuple)
    return file.tcp_sequences


@pytest.mark.parametrize("source", ["bpf", "plain"])
def test_scopes(source: str, zoo: Callable[[int], int], request: pytest.FixtureRequest) -> None:
    observer: Observer = request.getfixturevalue(source)
    root = zoo(21)
    tree = [node.pid for node in procfs.tree(root)]
    assert {t.pid for t in observer.tasks(tree=root)} == set(tree)
    assert [t.pid for t in observer.tasks(pids=[root])] == [root]
    assert {t.pid for t in observer.tasks(pids=tree[:3])} == set(tree[:3])
    assert set(tree) <= {t.pid for t in observer.tasks()}
    assert {v.pid for v in observer.vmas(tree=root)} <= set(tree)
    assert {f.pid for f in observer.files(pids=[root])} == {root}
    threads = observer.tasks(tree=root, threads=True)
    assert sum(t.pid != t.tgid for t in threads) >= 4
    with pytest.raises(TaskGone):
        observer.tasks(tree=1 << 22)


_NESTED = """
import ctypes, os, signal
unshare = ctypes.CDLL(None).unshare
reading, writing = os.pipe()
for deep in range(2):
    assert not unshare(0x20000000)
    if os.fork():
        if not deep:
            settled = [os.read(reading, 1) for _ in range(2)]
            print("ready", flush=True)
        signal.pause()
os.fork()
os.write(writing, b".")
signal.pause()
"""


@pytest.mark.parametrize("source", ["bpf", "plain"])
def test_processes_of_a_pid_namespace(source: str, bpf: Observer, request: pytest.FixtureRequest) -> None:
    observer: Observer = request.getfixturevalue(source)
    with subprocess.Popen([sys.executable, "-c", _NESTED], stdout=-1) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        try:
            outer, middle, *inner = [node.pid for node in procfs.tree(child.pid)]
            assert set(observer.inside(middle)) == {middle, *inner}
            assert set(observer.inside(inner[0])) == set(inner)
            assert {outer, middle, os.getpid(), *inner} <= set(observer.inside(os.getpid()))
            assert {t.pid for t in observer.tasks(pids=observer.inside(middle))} == {middle, *inner}
        finally:
            os.kill(middle, signal.SIGKILL)
            child.kill()
    with pytest.raises(TaskGone):
        observer.inside(1 << 22)


def test_every_field_says_what_it_means() -> None:
    for facts in (Task, Vma, File):
        for name, field in fields_of(facts).items():
            assert field.meaning and (field.kernel or field.procfs), name


@pytest.mark.parametrize("source", ["bpf", "plain"])
def test_those_who_end_are_counted(source: str, request: pytest.FixtureRequest) -> None:
    observer: Observer = request.getfixturevalue(source)
    with subprocess.Popen(["sleep", "100"]) as child:
        os.kill(child.pid, signal.SIGKILL)
    seen = observer.look(Task, ["pid"], pids=[os.getpid(), child.pid])
    assert seen.records == [(os.getpid(),)] and seen.vanished == 1


def test_inside_a_pid_namespace(bpf: Observer) -> None:
    script = Path(__file__).parent / "inside_namespace.py"
    command = ["unshare", "-fp", "--mount-proc", "--kill-child", sys.executable, str(script)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
    count, *differences = answer.stdout.splitlines() or [answer.stderr]
    assert not differences and int(count) > 10_000


def test_names_of_the_package_are_imported_when_used() -> None:
    code = (
        "import sys, replant.observe as o; from replant.observe import procfs;"
        "assert 'replant.observe.observer' not in sys.modules and 'ctypes' not in sys.modules;"
        "assert all(getattr(o, name) is not None for name in o.__all__); assert not hasattr(o, 'nothing')"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], check=True)


def test_the_table_of_facts_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "process-information.md").read_text()
    assert "\n".join(reference.table()) in page


def test_versions_are_versions_of_linux() -> None:
    since = {f"{kind.__name__}.{name}": f.since for kind in (Task, Vma, File) for name, f in fields_of(kind).items()}
    told = {name: version for name, version in since.items() if version}
    assert not [name for name, version in told.items() if not re.fullmatch(r"2\.\d(\.\d+)?|[3-9]\.\d+", version)]
    assert since["Task.umask"] == "4.7" and since["Vma.vm_flags"] == "3.8" and not since["Task.pid"]


_OVERLAY = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None):
    sys.exit("no mount namespace")
base = sys.argv[1]
for name in ("lower", "upper", "work", "merged"):
    os.mkdir(f"{base}/{name}")
with open(f"{base}/lower/file", "wb") as file:
    file.write(bytes(8192))
options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work".encode()
if libc.mount(b"overlay", f"{base}/merged".encode(), b"overlay", 0, options):
    sys.exit("no overlayfs")
fd = os.open(f"{base}/merged/file", os.O_RDONLY)
held = mmap.mmap(fd, 8192, prot=mmap.PROT_READ)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_stacked_file_system_shows_its_own_names(bpf: Observer, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _OVERLAY, str(tmp_path)], stdin=-1, stdout=-1, stderr=-1) as child:
        assert child.stdout and child.stderr
        if child.stdout.readline() != b"ready\n":
            pytest.skip(child.stderr.read().decode())
        _, differences = verify([child.pid])
        assert not [d for d in differences if d.field != "state"]
        assert any(str(vma.path).endswith("/merged/file") for vma in bpf.vmas(pids=[child.pid]))
        child.kill()
