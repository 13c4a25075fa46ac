"""When BPF is not to be used, and who may know what: told, not guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from replant.errors import ReplantError
from replant.observe.bpf import cache, calls, layout, source
from replant.observe.facts import Task
from replant.observe.field import MISSING
from replant.observe.observer import Observer
from replant.observe.procfs_source import ProcfsSource
from replant.observe.record import Record


def test_no_right_to_load_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_number: int, _attr: bytes) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(calls, "command", refuse)
    observer = Observer("auto")
    assert observer.source == "procfs" and "CAP_BPF" in observer.reason
    [task] = observer.tasks(pids=[os.getpid()])
    assert task.pid == os.getpid() and task.subreaper is MISSING
    with pytest.raises(ReplantError) as caught:
        Observer("bpf")
    assert caught.value.code == "no-bpf"


@pytest.mark.parametrize(
    ("number", "word"), [(1, "CAP_BPF"), (2, "CONFIG_DEBUG_INFO_BTF"), (38, "bpf(2)"), (22, "Invalid")]
)
def test_the_reason_is_told(number: int, word: str) -> None:
    assert word in source._reason(OSError(number, os.strerror(number)))


def test_lockdown_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_text", lambda path: "none integrity [confidentiality]\n")
    assert "locked down" in source._reason(OSError(1, ""))


def test_a_source_that_lies_about_this_process_is_dropped(
    bpf: Observer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache.layout()
    file = tmp_path / "replant" / "kernel-layout"
    lines = file.read_text().splitlines()
    [at] = [i for i, line in enumerate(lines) if line.startswith("member cred uid ")]
    other = next(line for line in lines if line.startswith("member cred cap_permitted "))
    lines[at] = " ".join([*lines[at].split()[:3], *other.split()[3:]])
    file.write_text("\n".join(lines))
    observer = Observer("auto")
    observer.tasks(pids=[os.getpid()])
    assert observer.source == "procfs" and "uids" in observer.reason


@pytest.mark.parametrize("kind", ["eventfd", "eventpoll", "timerfd", "signalfd", "inotify", "pidfd", "memfd", "pipe"])
def test_kinds_of_descriptors_are_compared_on_specimens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The links of descriptors of every kind are looked at in both sources, though this process has none."""
    real = ProcfsSource.columns

    def changed(self: ProcfsSource, facts: type[Record], names: list[str], *rest: Any, **more: Any) -> Any:
        columns = real(self, facts, names, *rest, **more)
        at = names.index("target")
        columns[at] = [str(link).replace(kind, "another") for link in columns[at]]
        return columns

    monkeypatch.setattr(ProcfsSource, "columns", changed)
    before = set(os.listdir("/proc/self/fd"))
    observer = Observer("auto")
    observer.files(pids=[os.getpid()])
    assert observer.source == "procfs" and "target" in observer.reason and kind in observer.reason
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_cache_is_the_kernels_answer(bpf: Observer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = layout.ask(cache.FUNCTIONS)
    for known in (cache.layout(), cache.layout()):
        assert (known.places, known.sizes, known.ids) == (asked.places, asked.sizes, asked.ids)


@pytest.mark.parametrize("damage", ["", "00000000 00000000 0\n", "\xff", "member task_struct pid", "writable"])
def test_a_bad_cache_counts_for_nothing(
    damage: str, bpf: Observer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    good = cache.layout()
    file = tmp_path / "replant" / "kernel-layout"
    if damage == "writable":
        file.chmod(0o666)
        file.write_text(file.read_text().replace(" 8 ", " 16 "))
    else:
        first = file.read_text().splitlines()[0] + "\n" if damage.startswith("member") else ""
        file.write_bytes((first + damage).encode("latin1"))
    assert cache.layout().places == good.places


_OTHER_USER = """
import ctypes, json, os, sys
import replant.observe.bpf.source
from replant.observe.facts import File, Task, Vma
from replant.observe.observer import Observer
from replant.observe.procfs_source import ProcfsSource
from replant.observe.record import Record
libc = ctypes.CDLL(None, use_errno=True)
KEEP = 1 << 38 | 1 << 39
libc.prctl(8, 1, 0, 0, 0)
os.setgroups([])
os.setresgid(12345, 12345, 12345)
os.setresuid(12345, 12345, 12345)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
high = KEEP >> 32
data = (ctypes.c_uint32 * 6)(0, 0, 0, high, high, 0)
assert not libc.capset(header, data)
libc.prctl(4, 1, 0, 0, 0)
observer = Observer(sys.argv[1])
answer = {}
for facts in (Task, Vma, File):
    seen = observer.look(facts, ["pid"])
    answer[facts.__name__] = [sorted({pid for pid, in seen.records}), seen.hidden > 0]
print(json.dumps([observer.source, observer.reason, os.getpid(), answer]))
"""


@pytest.mark.parametrize("source", ["bpf", "procfs"])
def test_another_user_learns_only_of_his_own(source: str, bpf: Observer, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "XDG_CACHE_HOME": "/nonexistent"}
    command = [sys.executable, "-c", _OTHER_USER, source]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if "no-bpf" in answer.stderr or "cannot be used" in answer.stderr:
        pytest.skip(answer.stderr)
    used, _, own, found = json.loads(answer.stdout or answer.stderr)
    assert used == source
    for pids, hidden in found.values():
        assert pids == [own] and hidden


def test_addresses_of_the_kernel_do_not_leave(bpf: Observer) -> None:
    [task] = bpf.tasks(pids=[os.getpid()])
    for name, value in task._asdict().items():
        if isinstance(value, int):
            assert value >> 47 == 0 or name.startswith("cap_"), name
    keys = {name: value for name, value in task._asdict().items() if name.endswith("_key")}
    assert all(isinstance(key, int) and key < 1000 for key in keys.values())
    assert Task._fields


def test_other_threads_that_run_do_not_look_like_a_lie(bpf: Observer) -> None:
    busy = True

    def work() -> None:
        while busy:
            os.getpid()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            observer = Observer("bpf")
            assert len(observer.tasks(pids=[os.getpid()], threads=True)) >= 2
    finally:
        busy = False
        thread.join()
