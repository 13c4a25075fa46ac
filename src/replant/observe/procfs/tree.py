"""Who is there: all processes, the threads of one, the tree below one."""

from __future__ import annotations

import os

from replant.errors import TaskGone

from ..record import Record
from .read import gone, read, task_path
from .stat import stat


class Node(Record):
    """A process as a part of its tree; numbers are those of the caller's pid namespace, ``starttime`` in ticks."""

    pid: int
    ppid: int
    pgrp: int
    session: int
    state: str
    starttime: int
    comm: str


def pids() -> list[int]:
    """All processes that this /proc shows, in no order."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def threads(pid: int) -> list[int]:
    """Thread ids of a process, its leader first, even when it is a zombie before the others.

    :raises TaskGone: the process has ended and been reaped.
    """
    path = task_path(pid) + "/task"
    try:
        return sorted(map(int, os.listdir(path)), key=lambda tid: (tid != pid, tid))
    except OSError as error:
        raise gone(pid, path, error) from None


def children(pid: int) -> list[int]:
    """Children of all threads of a process, zombies included; exact while the process is stopped.

    :raises TaskGone: the process has ended and been reaped.
    """
    found: list[int] = []
    for tid in threads(pid):
        try:
            found += map(int, read(pid, f"/proc/{pid}/task/{tid}/children").split())
        except FileNotFoundError:
            # a thread that ended (or no CONFIG_PROC_CHILDREN): its children have moved to another thread
            return [child for child, parent in _parents().items() if parent == pid]
    return found


def tree(root: int) -> list[Node]:
    """The process and all its descendants, parents before children; who ends meanwhile is left out.

    :raises TaskGone: the root itself has ended and been reaped.
    """
    nodes = [_node(root)]
    for node in nodes:
        try:
            below = children(node.pid)
        except TaskGone:
            continue
        for child in below:
            try:
                nodes.append(_node(child))
            except TaskGone:
                continue
    return nodes


def _node(pid: int) -> Node:
    s = stat(pid)
    return Node(pid, s.ppid, s.pgrp, s.session, s.state, s.starttime, s.comm)


def _parents() -> dict[int, int]:
    parents = {}
    for pid in pids():
        try:
            parents[pid] = stat(pid).ppid
        except TaskGone:
            continue
    return parents
