"""What cannot be kept is refused by name, before anything is lost in silence, and the target does not mind."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from live.command import replant_json
from live.program import Program, tree

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(60)]
CLONE_NEWIPC = 0x8000000

#: what the program is told to make: the code of the blocker, and its object as a pattern; "": whatever else it names
THINGS = {
    # descriptors
    "io_uring": ("io-uring-flags", r"fd \d+"),
    "perf_event": ("kind-perf_event", r"fd \d+"),
    "bpf_map": ("kind-bpf_map", r"fd \d+"),
    "bpf_program": ("kind-bpf_prog", r"fd \d+"),
    "inotify_events": ("unsupported", r"fd \d+"),
    "tcp": ("tcp-urgent", r"fd \d+"),
    "mptcp": ("kind-mptcp", r"fd \d+"),
    "vsock": ("kind-vsock", r"fd \d+"),
    "crypto": ("kind-crypto", r"fd \d+"),
    "xdp": ("kind-xdp", r"fd \d+"),
    "kvm": ("device", r"fd \d+"),
    "fuse": ("device", r"fd \d+"),
    "disk": ("kind-blockdev", r"fd \d+"),
    "userfault": ("kind-userfaultfd", r"fd \d+"),
    "secret": ("kind-secretmem", r"fd \d+"),
    "landlock": ("kind-landlock_ruleset", r"fd \d+"),
    "filesystem": ("kind-fscontext", r"fd \d+"),
    "detached_mount": ("name", r"fd \d+"),
    "pressure": ("pressure-trigger", r"fd \d+"),
    "pidfd_outside": ("outside", r"fd \d+"),
    "directory_notice": ("directory-notice", r"fd \d+"),
    # mappings
    "secret_memory": ("kind-secretmem", "mapping [0-9a-f-]+"),
    "userfault_memory": ("mapping-um", "[0-9a-f]+"),
    "perf_buffer": ("mapping-pf", "[0-9a-f]+"),
    "ring": ("kind-io_uring", "mapping [0-9a-f-]+"),
    "packet_ring": ("kind-socket", "mapping [0-9a-f-]+"),
    # tasks
    "shared_io": ("shared", r"task \d+"),
    "shared_memory": ("shared-address-space", r"process \d+"),
    "shared_actions": ("shared-address-space", r"process \d+"),
    "thread_files": ("unshared", r"task \d+"),
    "thread_directory": ("unshared", r"task \d+"),
    "thread_network": ("namespace", "net"),
    "supervised": ("seccomp", r"task \d+"),
    "keyring": ("keyring", "a thread keyring"),
    "process_keyring": ("keyring", "a process keyring"),
    "landlock_domain": ("landlock", r"task \d+"),
    "landlock_thread": ("landlock", r"task \d+"),
    "core": ("dead-with-core", r"task \d+"),
    "tracer": ("traced", r"tracer \d+"),
    "dispatch": ("syscall-user-dispatch", r"task \d+"),
    "ports": ("io-ports", r"task \d+"),
    "vfork_thread": ("does-not-stop", r"task \d+"),
    # namespaces
    "mounts": ("namespace", "mnt"),
    "network": ("namespace", "net"),
    "host_name": ("namespace", "uts"),
    "ipc": ("namespace", "ipc"),
    "user": ("namespace", "user"),
    "cgroup": ("namespace", "cgroup"),
    "pid_for_children": ("namespace", "pid_for_children"),
    "time_for_children": ("namespace", "time_for_children"),
    "pid": ("namespace", "pid, pid_for_children"),
    "time": ("namespace", "time, time_for_children"),
}
TOGETHER = ("io_uring", "perf_event", "xdp", "core", "keyring", "shared_memory")


def start(things: Path, folder: Path, *names: str) -> Program:
    """The program with these things, ready, in an IPC namespace that ends with the test. Skips what a kernel lacks."""
    assert ctypes.CDLL(None).unshare(CLONE_NEWIPC) == 0
    program = Program.start([str(things), *names], folder)
    program.until_ready()
    if (folder / "missing").exists():
        pytest.skip(f"here: {(folder / 'missing').read_text()}")
    return program


@pytest.mark.parametrize("name", THINGS)
def test_refused_by_name(things: Path, tmp_path: Path, name: str) -> None:
    code, resource = THINGS[name]
    with start(things, tmp_path, name) as program:
        before = facts(program.root)
        everything = blockers(program, tmp_path)
        found = [b for b in everything if b["code"] == code]
        assert any(re.fullmatch(resource, b["resource"]) for b in found), everything
        assert facts(program.root) == before


def test_all_at_once(things: Path, tmp_path: Path) -> None:
    with start(things, tmp_path, *TOGETHER) as program:
        found = {b["code"] for b in blockers(program, tmp_path)}
        assert found >= {THINGS[name][0] for name in TOGETHER}


def test_a_32_bit_program(small: Path, tmp_path: Path) -> None:
    with Program.start([str(small)], tmp_path) as program:
        program.until_ready()
        (blocker,) = refused(program, tmp_path)
        assert "32-bit" in blocker["hint"]
        os.kill(program.root, 0)


def test_a_process_that_a_debugger_traces(things: Path, tmp_path: Path) -> None:
    with start(things, tmp_path) as program:
        debugger = Debugger(program.root)
        try:
            (blocker,) = blockers(program, tmp_path)
            assert (blocker["code"], blocker["resource"]) == ("traced", f"tracer {debugger.pid}")
        finally:
            debugger.end()
        assert replant_json("check", program.root)["blockers"] == []


def blockers(program: Program, folder: Path) -> list[dict[str, Any]]:
    """What stands against a dump; the target is content afterwards."""
    found = refused(program, folder)
    program.ask()
    return found


def refused(program: Program, folder: Path) -> list[dict[str, Any]]:
    """The blockers, of which ``check`` and ``dump`` say the same, and each says all it has to."""
    image = folder.with_name(folder.name + ".image")
    checked = replant_json("check", program.root, expect=1)["blockers"]
    dumped = replant_json("dump", program.root, "-o", image, expect=1)
    assert [b["code"] for b in dumped["blockers"]] == [b["code"] for b in checked]
    assert not list(image.parent.glob(image.name + "*"))
    pids = {int(tid) for pid in tree(program.root) for tid in os.listdir(f"/proc/{pid}/task")}
    for blocker in checked:
        assert blocker["pid"] in pids, blocker
        assert all(blocker[word] for word in ("error", "code", "resource", "hint")), blocker
    return list(checked)


def facts(root: int) -> dict[int, tuple[str, list[str]]]:
    """Mappings and descriptors of every process: what a refused dump must not have touched."""
    found = {}
    for pid in tree(root):
        folder = f"/proc/{pid}/fd"
        names = [f"{name} {os.readlink(f'{folder}/{name}')}" for name in sorted(os.listdir(folder))]
        found[pid] = Path(f"/proc/{pid}/maps").read_text(), names
    return found


class Debugger:
    """A process that traces another one, as gdb does."""

    def __init__(self, target: int) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            answer = ctypes.CDLL(None).ptrace(0x4206, target, None, None)  # PTRACE_SEIZE
            os.write(writing, b"1" if answer == 0 else b"0")
            signal.pause()
        assert os.read(reading, 1) == b"1"
        os.close(reading)
        os.close(writing)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
