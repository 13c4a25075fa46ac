"""Ways to learn the same facts: psutil, text read plainly, this package's procfs, and BPF.

Every function takes the pids of its case and gives rows; :mod:`run` checks that all ways of a case give as many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import psutil

from replant.observe import procfs
from replant.observe.facts import File, Task, Vma
from replant.observe.frozen import Frozen
from replant.observe.observer import Observer

Rows = Sequence[object]
Way = Callable[[Sequence[int]], Rows]

TASK = ("pid", "ppid", "pgid", "sid", "state", "comm", "uids", "vm_kib", "start_ticks")
VMA = ("start", "end", "prot", "shared", "offset", "dev", "inode", "path", "vm_flags")
FILE = ("fd", "target", "pos", "flags", "mnt_id", "inode")

_observers: dict[str, Observer] = {}


def observer(source: str) -> Observer:
    """Kept, as a program that looks more than once does."""
    if source not in _observers:
        _observers[source] = Observer(source)
    return _observers[source]


# nine facts about each of many processes


def tasks_psutil(pids: Sequence[int]) -> Rows:
    rows = []
    for pid in pids:
        process = psutil.Process(pid)
        with process.oneshot():
            facts = (process.ppid(), process.status(), process.name(), process.uids(), process.memory_info().vms)
            rows.append((pid, os.getpgid(pid), os.getsid(pid), *facts, process.create_time()))
    return rows


def tasks_plain(pids: Sequence[int]) -> Rows:
    rows = []
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            line = file.read()
        name, rest = line[line.index("(") + 1 : line.rindex(")")], line[line.rindex(")") + 2 :].split()
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        uids = tuple(map(int, status["Uid"].split()))
        rows.append((pid, int(rest[1]), int(rest[2]), int(rest[3]), rest[0], name, uids, int(rest[20]), int(rest[19])))
    return rows


def tasks_procfs(pids: Sequence[int]) -> Rows:
    return observer("procfs").look(Task, TASK, pids=pids).records


def tasks_bpf(pids: Sequence[int]) -> Rows:
    return observer("bpf").look(Task, TASK, pids=pids).records


def tasks_bpf_all(_pids: Sequence[int]) -> Rows:
    return observer("bpf").look(Task, TASK).records


def every_fact_procfs(pids: Sequence[int]) -> Rows:
    return observer("procfs").tasks(pids=pids)


def every_fact_bpf(pids: Sequence[int]) -> Rows:
    return observer("bpf").tasks(pids=pids)


# the mappings of one process with VmFlags


def maps_psutil(pids: Sequence[int]) -> Rows:
    return psutil.Process(pids[0]).memory_maps(grouped=False)


def maps_plain(pids: Sequence[int]) -> Rows:
    rows, head = [], [""]
    with open(f"/proc/{pids[0]}/smaps") as file:
        for line in file:
            if line.startswith("VmFlags:"):
                start, end = head[0].split("-")
                rows.append((int(start, 16), int(end, 16), *head[1:], line.split()[1:]))
            elif not line[0].isupper():
                head = line.split(None, 5)
    return rows


def maps_procfs(pids: Sequence[int]) -> Rows:
    return procfs.maps(pids[0])


def maps_bpf(pids: Sequence[int]) -> Rows:
    return observer("bpf").look(Vma, VMA, pids=pids).records


def maps_bpf_records(pids: Sequence[int]) -> Rows:
    return observer("bpf").vmas(pids=pids)


# the descriptors of one process


def files_psutil(pids: Sequence[int]) -> Rows:
    return psutil.Process(pids[0]).open_files()


def files_plain(pids: Sequence[int]) -> Rows:
    rows = []
    for name in os.listdir(f"/proc/{pids[0]}/fd"):
        target = os.readlink(f"/proc/{pids[0]}/fd/{name}")
        with open(f"/proc/{pids[0]}/fdinfo/{name}") as file:
            info = dict(line.split(":", 1) for line in file)
        rows.append((int(name), target, int(info["pos"]), int(info["flags"], 8), int(info["mnt_id"]), int(info["ino"])))
    return rows


def files_procfs(pids: Sequence[int]) -> Rows:
    return observer("procfs").look(File, FILE, pids=pids).records


def files_bpf(pids: Sequence[int]) -> Rows:
    return observer("bpf").look(File, FILE, pids=pids).records


def files_bpf_records(pids: Sequence[int]) -> Rows:
    return observer("bpf").files(pids=pids)


# what a dump reads of a frozen tree: stat, status, mappings with flags, descriptors and their fdinfo


def frozen_procfs(pids: Sequence[int]) -> Rows:
    rows: list[object] = []
    for pid in pids:
        rows += [procfs.stat(pid), procfs.status(pid), *procfs.maps(pid), *procfs.fds(pid), *procfs.fdinfos(pid)]
    return rows


def frozen_bpf(pids: Sequence[int]) -> Rows:
    frozen = Frozen(pids, observer("bpf"))
    rows: list[object] = []
    for pid in pids:
        rows += [frozen.stat(pid), frozen.status(pid), *frozen.maps(pid), *frozen.fds(pid), *frozen.fdinfos(pid)]
    return rows


# everything there is: nine facts of all processes, all their mappings, all their descriptors


def system_psutil(_pids: Sequence[int]) -> Rows:
    rows: list[object] = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                rows.append((process.ppid(), process.status(), process.name(), process.uids(), process.memory_info()))
                rows += process.memory_maps(grouped=False)
                rows += process.open_files()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return rows


def _system(source: str) -> Rows:
    found = observer(source)
    tasks, maps, files = found.look(Task, TASK), found.look(Vma, ("pid", *VMA)), found.look(File, ("pid", *FILE))
    return [*tasks.records, *maps.records, *files.records]


def system_procfs(_pids: Sequence[int]) -> Rows:
    return _system("procfs")


def system_bpf(_pids: Sequence[int]) -> Rows:
    return _system("bpf")
