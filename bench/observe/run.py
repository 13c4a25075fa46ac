"""All ways side by side: ``python bench/observe/run.py [--json FILE] [--runs N] [CASE...]``.

Ways of a case take turns, so that a busy machine is busy for all. In its turn a way is repeated for some 20 ms, so that
none pays for the caches another has filled. Wall time is the median of all uses, CPU time that of the use which others
disturbed least; ratios are of CPU time, to that of the BPF way. System calls of one use are counted with strace(1),
where it is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import exotic
import subjects
import ways

Way = Callable[[list[int]], ways.Rows]


@contextmanager
def one(subject: object) -> Iterator[list[int]]:
    with subject as pid:  # type: ignore[attr-defined]
        yield [pid]


@contextmanager
def sockets(count: int) -> Iterator[list[int]]:
    """Connections of this process with itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        held = []
        for _ in range(count // 2):
            held.append(socket.create_connection(listener.getsockname()))
            held.append(listener.accept()[0])
        yield [os.getpid()]
        for sock in held:
            sock.close()


@contextmanager
def everything() -> Iterator[list[int]]:
    with subjects.processes(1000) as pids, subjects.many_files(), subjects.many_maps():  # type: ignore[attr-defined]
        yield pids


@contextmanager
def mounts(count: int) -> Iterator[list[int]]:
    """A mount namespace with many mounts, in this very process."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    directory = tempfile.mkdtemp()
    if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None):
        raise OSError(ctypes.get_errno(), "a mount namespace of one's own needs rights")
    for _ in range(count):
        libc.mount(b"none", directory.encode(), b"tmpfs", 0, b"size=4k")
    yield [os.getpid()]
    for _ in range(count):
        libc.umount2(directory.encode(), 2)
    os.rmdir(directory)


CASES: dict[str, tuple[str, Callable[[], object], dict[str, Way]]] = {
    "tasks": (
        "9 facts of each of 1000 processes",
        lambda: subjects.processes(1000),
        {
            "psutil": ways.tasks_psutil,
            "plain text": ways.tasks_plain,
            "procfs": ways.tasks_procfs,
            "io_uring": exotic.tasks_io_uring,
            "batch of calls": exotic.tasks_batch,
            "BPF": ways.tasks_bpf,
            "BPF, whole system": ways.tasks_bpf_all,
        },
    ),
    "facts": (
        "every fact of each of 1000 processes, as records",
        lambda: subjects.processes(1000),
        {"procfs": ways.every_fact_procfs, "BPF": ways.every_fact_bpf},
    ),
    "maps": (
        "10,000 mappings of one process, with VmFlags",
        lambda: one(subjects.many_maps()),
        {
            "psutil": ways.maps_psutil,
            "plain text": ways.maps_plain,
            "procfs": ways.maps_procfs,
            "PROCMAP_QUERY (no flags)": exotic.maps_procmap_query,
            "BPF": ways.maps_bpf,
            "BPF, as records": ways.maps_bpf_records,
        },
    ),
    "files": (
        "1000 descriptors of one process",
        lambda: one(subjects.many_files()),
        {
            "psutil (regular files only)": ways.files_psutil,
            "plain text": ways.files_plain,
            "procfs": ways.files_procfs,
            "BPF": ways.files_bpf,
            "BPF, as records": ways.files_bpf_records,
        },
    ),
    "frozen": (
        "what a dump reads of 200 stopped processes",
        lambda: subjects.processes(200),
        {"procfs": ways.frozen_procfs, "BPF": ways.frozen_bpf},
    ),
    "frozen-maps": (
        "what a dump reads of a process with 10,000 mappings",
        lambda: one(subjects.many_maps()),
        {"procfs": ways.frozen_procfs, "BPF": ways.frozen_bpf},
    ),
    "frozen-files": (
        "what a dump reads of a process with 1000 descriptors",
        lambda: one(subjects.many_files()),
        {"procfs": ways.frozen_procfs, "BPF": ways.frozen_bpf},
    ),
    "frozen-one": (
        "what a dump reads of one small process",
        lambda: subjects.processes(1),
        {"procfs": ways.frozen_procfs, "BPF": ways.frozen_bpf},
    ),
    "system": (
        "whole system: tasks, mappings, descriptors",
        everything,
        {"psutil": ways.system_psutil, "procfs": ways.system_procfs, "BPF": ways.system_bpf},
    ),
    "sockets": (
        "2000 TCP sockets",
        lambda: sockets(2000),
        {
            "psutil": exotic.sockets_psutil,
            "/proc/net/tcp": exotic.sockets_text,
            "sock_diag": exotic.sockets_diag,
            "BPF": exotic.sockets_bpf,
        },
    ),
    "mounts": (
        "500 mounts",
        lambda: mounts(500),
        {"listmount + statmount": exotic.mounts_statmount, "mountinfo": exotic.mounts_text},
    ),
}


def measure(case: str, runs: int) -> dict[str, object]:
    title, subject, found = CASES[case]
    times: dict[str, list[list[float]]] = {name: [] for name in found}
    counts = {}
    with subject() as pids:  # type: ignore[attr-defined]
        repeats = {name: _repeats(way, pids) for name, way in found.items()}
        for _ in range(runs):
            for name, way in found.items():
                for _ in range(repeats[name]):
                    began, cpu = time.perf_counter(), time.process_time()
                    counts[name] = len(way(pids))
                    times[name].append([(time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3])
        calls = {name: _calls(case, name, pids) for name in found} if case not in ("sockets", "mounts") else {}
    return {
        "title": title,
        "ways": {name: {**_summary(times[name]), "rows": counts[name], "syscalls": calls.get(name)} for name in found},
    }


def _repeats(way: Way, pids: list[int]) -> int:
    """How often a way is to be used in a turn; the first use, which loads programs, does not count."""
    way(pids)
    cpu = time.process_time()
    way(pids)
    return max(1, int(0.02 / (time.process_time() - cpu)))


def _summary(times: list[list[float]]) -> dict[str, float]:
    """Median and minimum of wall time, and the minimum of CPU time, which a busy machine disturbs less."""
    wall, cpu = zip(*times, strict=True)
    return {"median_ms": statistics.median(wall), "min_ms": min(wall), "cpu_ms": min(cpu)}


def _calls(case: str, name: str, pids: list[int]) -> int | None:
    """System calls of one use of a way, when its programs are loaded already."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as out:
        code = f"import run; run.between_marks({case!r}, {name!r}, {pids!r})"
        here = os.path.dirname(os.path.abspath(__file__))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
        command = ["strace", "-f", "-o", out.name, sys.executable, "-c", code]
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
        marked = out.read().split(_MARK)[1].splitlines()
        return sum(1 for line in marked[1:-1] if " resumed>" not in line and not line.endswith("---"))


_MARK = "/no/such/file"


def between_marks(case: str, name: str, pids: list[int]) -> None:
    """Uses a way once more after its programs have been loaded, between two calls that are easy to find."""
    way = CASES[case][2][name]
    way(pids)
    os.path.exists(_MARK)
    way(pids)
    os.path.exists(_MARK)


def starts(runs: int) -> dict[str, object]:
    """First result of a fresh interpreter, in ms after its start, without and with the cached layout."""
    code = (
        "import time; began = time.perf_counter(); cpu = time.process_time();"
        "from replant.observe.observer import Observer; from replant.observe.facts import Task;"
        "rows = Observer('bpf').look(Task, ('pid', 'ppid', 'state', 'comm', 'uids'), pids=[1, 2]).records;"
        "print((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3)"
    )
    found: dict[str, list[list[float]]] = {"cold": [], "cached": []}
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "XDG_CACHE_HOME": home, "PYTHONPATH": os.pathsep.join(sys.path)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(runs * 2 + 1):
            if number % 2:
                shutil.rmtree(os.path.join(home, "replant"), ignore_errors=True)
            out = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
            if number:
                found["cold" if number % 2 else "cached"].append([float(word) for word in out.stdout.split()])
    return {name: _summary(times) for name, times in found.items()}


def show(case: str, result: dict[str, object]) -> None:
    """A table; ratios are of CPU time to that of BPF, or of the cheapest way."""
    print(f"\n{case}: {result['title']}")
    found: dict[str, dict[str, float]] = result["ways"]  # type: ignore[assignment]
    base = found.get("BPF", min(found.values(), key=lambda way: way["cpu_ms"]))["cpu_ms"]
    print(f"  {'':28}{'wall ms':>9} {'[min]':>10} {'cpu ms':>9} {'ratio':>8} {'rows':>7} {'calls':>8}")
    for name, way in found.items():
        calls = "" if way["syscalls"] is None else way["syscalls"]
        times = f"{way['median_ms']:9.2f} [{way['min_ms']:8.2f}] {way['cpu_ms']:9.2f} {way['cpu_ms'] / base:7.1f}x"
        print(f"  {name:28}{times} {way['rows']:>7} {calls:>8}")


def main() -> None:
    words = sys.argv[1:]
    file = words.pop(words.index("--json") + 1) if "--json" in words else ""
    runs = int(words.pop(words.index("--runs") + 1)) if "--runs" in words else 7
    chosen = [word for word in words if not word.startswith("-")] or [*CASES, "start"]
    results: dict[str, object] = {}
    for case in chosen:
        if case == "start":
            results[case] = starts(runs)
            print(f"\nstart: first result after interpreter start\n  {results[case]}")
            continue
        results[case] = measure(case, runs)
        show(case, results[case])  # type: ignore[arg-type]
    if file:
        with open(file, "w") as out:
            json.dump(results, out, indent=1)


if __name__ == "__main__":
    main()
