"""A process in a control group that has the group's directory and files open; argv: the group, a setting of numbers."""

from __future__ import annotations

import os
import sys

import selfcheck

group, setting = sys.argv[1:]
me = str(os.getpid()).encode()
os.mkdir(f"{group}/below")
members = os.open(f"{group}/cgroup.procs", os.O_RDWR)
os.write(members, me)
folder, below = (os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (group, f"{group}/below"))
limit = os.open(f"{group}/below/{setting}", os.O_RDWR)
value = 100


def check() -> None:
    global value
    value += 1
    assert me in os.pread(members, 4096, 0).split()
    os.pwrite(members, me, 0)
    assert {"below", "cgroup.procs"} <= set(os.listdir(folder))
    os.pwrite(limit, str(value).encode(), 0)
    by_name = os.open(setting, os.O_RDONLY, dir_fd=below)
    assert int(os.read(by_name, 100)) == int(os.pread(limit, 100, 0)) == value
    os.close(by_name)


selfcheck.serve(check)
