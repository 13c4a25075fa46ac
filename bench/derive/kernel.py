"""The rules against the kernel: random operations in a fresh pid namespace, result and /proc compared after each.

    python bench/derive/kernel.py --namespaces 334 --ops 3000
    python bench/derive/kernel.py --namespaces 300 --derive

Every namespace has a seed, from --seed on; every fifth is one with --outside. The process in it is its init and one of
the actors; every other task is a child that obeys through a pipe. Some
operations are done by a second thread of the actor: it must make no difference. With --outside the init stays in the
group and session it came with, which have no number inside. With --derive a random tree is built from its derivation.
"""

from __future__ import annotations

import _thread
import argparse
import ctypes
import errno
import os
import struct
import subprocess
import sys
from random import Random

from walks import random_op, walk

from replant.derive import Outside, process_tree
from replant.derive.linux.rules import RULES, Tasks
from replant.derive.rules import attempt

LIBC = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock: the child must not find it taken
SYS_CLONE3, CLONE_PARENT, PR_SET_CHILD_SUBREAPER, WALL = 435, 0x8000, 36, 0x40000000
SIGCHLD = 17
MOST = 40

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Op = tuple[int | str, ...]


def clone3(pid: int, *, sibling: bool) -> int:
    """A new process with that pid: 0 in the child; minus the error number if it is refused."""
    numbers = (ctypes.c_int * 1)(pid)
    flags, signal = (CLONE_PARENT, 0) if sibling else (0, SIGCHLD)
    arguments = struct.pack("<11Q", flags, 0, 0, 0, signal, 0, 0, 0, ctypes.addressof(numbers), 1, 0)
    result = LIBC.syscall(SYS_CLONE3, arguments, ctypes.c_size_t(len(arguments)))
    return result if result >= 0 else -ctypes.get_errno()


class Crew:
    """The tasks of the namespace; every one inherits all pipes and obeys on its own."""

    def __init__(self) -> None:
        self.orders = {pid: os.pipe() for pid in range(2, MOST)}
        self.results = os.pipe()
        for pair in (*self.orders.values(), self.results):
            for fd in pair:
                os.set_inheritable(fd, True)

    def do(self, op: Op, *, by_thread: bool = False) -> int:
        """Have ``op`` done by its actor; :return: 0 or the error number."""
        actor = int(op[0])
        if actor == 1:
            return self.perform(op)
        os.write(self.orders[actor][1], f"{int(by_thread)} {' '.join(map(str, op))}\n".encode())
        if op[1] == "exit":
            while not ended(actor):
                os.sched_yield()
            return 0
        return int.from_bytes(os.read(self.results[0], 2), "little")

    def perform(self, op: Op) -> int:
        """Do ``op`` as the calling process."""
        name, rest = op[1], [int(n) for n in op[2:]]
        if name in ("fork", "fork_sibling"):
            made = clone3(rest[0], sibling=name == "fork_sibling")
            if made == 0:
                self.obey(rest[0])
            return max(0, -made)
        try:
            return self._call(str(name), rest)
        except OSError as error:
            return error.errno or errno.EIO

    def _call(self, name: str, rest: list[int]) -> int:
        if name == "setsid":
            os.setsid()
        elif name == "setpgid":
            os.setpgid(*rest)
        elif name == "subreaper":
            LIBC.prctl(PR_SET_CHILD_SUBREAPER, rest[0], 0, 0, 0)
        elif name == "wait":
            return 0 if os.waitpid(rest[0], os.WNOHANG | WALL)[0] else errno.EAGAIN
        elif name == "exit":
            os._exit(0)
        return 0

    def obey(self, pid: int) -> None:
        """Never returns: read orders, perform them, say how it went."""
        while True:
            text = b""
            while not text.endswith(b"\n"):
                text += os.read(self.orders[pid][0], 1 if text else 4096)
            self._order(pid, text.decode().split())

    def _order(self, pid: int, words: list[str]) -> None:
        op: Op = tuple(int(w) if w.lstrip("-").isdigit() else w for w in words[1:])
        if op[1] == "exec":
            fds = ",".join(f"{p}:{a}:{b}" for p, (a, b) in self.orders.items())
            os.execv(sys.executable, [sys.executable, __file__, "--obey", f"{pid};{fds};{self.results[1]}"])
        result = _in_thread(lambda: self.perform(op)) if words[0] == "1" else self.perform(op)
        os.write(self.results[1], result.to_bytes(2, "little"))


def _in_thread(work: Callable[[], int]) -> int:
    """Without the threading module, whose locks a child of the thread would find taken."""
    result: list[int] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        result.append(work())
        done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    return result[0]


def again(text: str) -> None:
    """Go on obeying after execve."""
    pid, fds, results = text.split(";")
    crew = Crew.__new__(Crew)
    crew.orders = {int(p): (int(a), int(b)) for p, a, b in (word.split(":") for word in fds.split(","))}
    crew.results = (-1, int(results))
    os.write(int(results), b"\0\0")  # only now execve has been done
    crew.obey(int(pid))


def _fields(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def ended(pid: int) -> bool:
    """Whether all threads are dead: a zombie whose last thread still ends has not handed its children on yet."""
    words = _fields(pid)
    return words[0] == b"Z" and words[17] == b"1"


def stat(pid: int) -> tuple[str, int, int, int]:
    """State, parent, group and session, as the namespace numbers them."""
    words = _fields(pid)
    return words[0].decode(), int(words[1]), int(words[2]), int(words[3])


def seen() -> dict[int, tuple[int, int, int, bool]]:
    """What /proc shows of every task."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            state, ppid, pgid, sid = stat(int(name))
            found[int(name)] = (ppid, pgid, sid, state == "Z")
    return found


def start(outside: bool) -> tuple[Tasks, Crew]:
    """The init's side of an empty namespace."""
    if not outside:
        os.setsid()
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write("10000")  # threads take numbers too: let them be none of those that tasks are given
    _, _, pgid, sid = stat(1)
    return Tasks(1, pgid, sid), Crew()


def compare_random(seed: int, count: int, outside: bool) -> int:
    """Random operations; :return: how many there were, or exits with the first difference."""
    rng = Random(seed)
    tasks, crew = start(outside)
    pids = range(2, rng.randrange(5, 14))
    for done in range(count):
        op = random_op(rng, tasks, pids, exec_too=rng.random() < 0.05)
        if op[0] == 1 and (op[1] in ("exit", "exec", "subreaper", "setsid") or op[1:3] == ("setpgid", 1)):
            continue  # an init in a group that bears another task's number never finishes dying
        broken = attempt(tasks, RULES, op)
        wanted = getattr(errno, broken.verdict) if broken else 0
        result = crew.do(op, by_thread=rng.random() < 0.2 and op[0] != 1)
        state = {p: row[:4] for p, row in tasks.state().items()}
        if result != wanted or seen() != state:
            sys.exit(f"seed {seed}, operation {done} {op}: {result} not {wanted}\n{seen()}\n{state}")
    return count


def build_random(seed: int) -> int:
    """Build a random tree from its derivation and compare; :return: the number of operations."""
    rng = Random(seed)
    tree = walk(rng, rng.randrange(20, 200), rng.randrange(4, 14))
    _, crew = start(False)
    found = process_tree(tree, outside=Outside(adopts=False))
    for op in found.ops:
        result = crew.do(op)
        if result:
            sys.exit(f"seed {seed}: {op} of {found.ops} failed: {os.strerror(result)}")
    wanted = {t["pid"]: (t["ppid"], t["pgid"], t["sid"], t["state"] == "Z") for t in tree}
    if {p: row for p, row in seen().items() if p != 1} != wanted:
        sys.exit(f"seed {seed}: {seen()} is not {wanted}")
    return len(found.ops)


def many(namespaces: int, seed: int, count: int, derive: bool) -> None:
    """Run fresh namespaces one after the other; exits with the first difference."""
    total = 0
    for number in range(seed, seed + namespaces):
        outside = ["--outside"] if number % 5 == 0 and not derive else []
        command = ["unshare", "-fp", "--kill-child", "--mount-proc", sys.executable, __file__]
        command += ["--seed", str(number), "--ops", str(count), *outside, *(["--derive"] if derive else [])]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        if ran.returncode:
            sys.exit(f"{ran.stdout}{ran.stderr}")
        total += int(ran.stdout.split()[0])
    print(f"{total} operations in {namespaces} namespaces, 0 differences")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--ops", type=int, default=3000)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--outside", action="store_true")
    words.add_argument("--derive", action="store_true")
    words.add_argument("--namespaces", type=int, default=1)
    words.add_argument("--obey", default="")
    given = words.parse_args()
    if given.obey:
        again(given.obey)
    if os.getpid() != 1:
        many(given.namespaces, given.seed, given.ops, given.derive)
        return
    count = build_random(given.seed) if given.derive else compare_random(given.seed, given.ops, given.outside)
    print(f"{count} operations, 0 differences", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
