"""CPython with threads: some compute, some wait on locks, queues and conditions; open files; a child on pipes."""

from __future__ import annotations

import os
import queue
import random
import subprocess
import tempfile
import threading
import time
import zlib

import selfcheck

SPINNERS = 2
work: queue.Queue[int] = queue.Queue()
done: queue.Queue[tuple[int, int]] = queue.Queue()
counters = [0] * SPINNERS
turn = threading.Condition()
steps = 0

memory = {n: random.Random(n).randbytes(1000 + n) for n in range(2000)}
sums = {n: zlib.crc32(data) for n, data in memory.items()}
named = open("named.txt", "w+")  # noqa: SIM115
unnamed = tempfile.TemporaryFile(dir=".")  # noqa: SIM115
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
local = threading.local()


def count(index: int) -> None:
    """Spin, so that the dump finds threads in the middle of Python code."""
    local.mine = index
    while True:
        counters[index] += 1
        assert local.mine == index


def square() -> None:
    while True:
        number = work.get()
        done.put((number, number * number))


def step() -> None:
    global steps
    while True:
        with turn:
            turn.wait()
            steps += 1
            turn.notify_all()


def check() -> None:
    before = list(counters)
    for number in range(200):
        work.put(number)
    assert sorted(done.get(timeout=60) for _ in range(200)) == [(n, n * n) for n in range(200)]
    with turn:
        goal = steps + 1
        turn.notify()
        assert turn.wait_for(lambda: steps >= goal, timeout=60), "the condition's waiter did not wake"
    for n, data in memory.items():
        assert zlib.crc32(data) == sums[n], f"block {n} of memory differs"
    check_files()
    check_child()
    limit = time.monotonic() + 60
    while any(now <= then for now, then in zip(counters, before, strict=True)):
        assert time.monotonic() < limit, "a thread stands still"
        time.sleep(0)


def check_files() -> None:
    at = named.tell()
    named.write("one more line\n")
    named.flush()
    assert os.path.getsize("named.txt") == at + 14
    unnamed.seek(0, os.SEEK_END)
    unnamed.write(b"x" * 5000)
    unnamed.seek(0)
    assert set(unnamed.read()) == {ord("x")}


def check_child() -> None:
    assert child.stdin and child.stdout
    message = os.urandom(2000)
    child.stdin.write(message)
    got = b""
    while len(got) < len(message):
        got += child.stdout.read(4096)
    assert got == message
    assert child.poll() is None


for target, arguments in [(square, ()), (square, ()), (step, ()), *((count, (n,)) for n in range(SPINNERS))]:
    threading.Thread(target=target, args=arguments, daemon=True).start()
selfcheck.serve(check)
