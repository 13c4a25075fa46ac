"""Run as the first process of a pid namespace: looks at a tree of its own from both sources, prints what differs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from replant.observe import procfs
from replant.observe.crosscheck import verify
from replant.observe.observer import Observer


def main() -> None:
    root = subprocess.Popen([sys.executable, str(Path(__file__).parent / "zoo.py"), "21"], stdout=subprocess.PIPE)
    assert root.stdout and root.stdout.readline() == b"ready\n"
    pids = [node.pid for node in procfs.tree(root.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    while not all(procfs.stat(pid, tid).state in "TZX" for pid in pids for tid in procfs.threads(pid)):
        time.sleep(0)
    count, differences = verify(pids)
    observer = Observer("bpf")
    tree = [task.pid for task in observer.tasks(tree=root.pid)]
    assert sorted(tree) == sorted(pids) and max(tree) < 1000, tree
    everybody = {task.pid for task in observer.tasks()}
    assert everybody == {*pids, os.getpid()}, everybody
    print(count, *differences, sep="\n")


if __name__ == "__main__":
    main()
