"""A tree that is killed leaves no number in use but the root's, which is its own parent's to reap."""

from __future__ import annotations

import os
import subprocess
import sys

from replant.tracee.freeze import freeze

# a child with a child and a zombie, and a zombie; the pids are told once the zombies are there
FAMILY = """
import os, signal
def dead():
    if not (pid := os.fork()):
        os._exit(7)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid
def alive(work):
    r, w = os.pipe()
    if not (pid := os.fork()):
        os.write(w, b" ".join(b"%d" % pid for pid in work()) + b"\\n")
        while True:
            signal.pause()
    return [pid, *map(int, os.read(r, 4096).split())]
print(*alive(lambda: [dead(), *alive(lambda: [])]), dead(), flush=True)
while True:
    signal.pause()
"""


def test_the_dead_are_reaped_by_their_parents() -> None:
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE) as root:
        try:
            assert root.stdout is not None
            pids = [int(word) for word in root.stdout.readline().split()]
            assert len(pids) == 4
            with freeze(root.pid) as frozen:
                frozen.release("kill")
            assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []
            assert root.wait(10) == -9
        finally:
            root.kill()
