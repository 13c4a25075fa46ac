"""A pool of workers with shared memory, a semaphore, a lock and a queue between them, as multiprocessing makes them."""

from __future__ import annotations

import multiprocessing
from multiprocessing import shared_memory

import selfcheck

context = multiprocessing.get_context("fork")
memory = shared_memory.SharedMemory(create=True, size=1 << 20)
lock, places = context.Lock(), context.Semaphore(2)
counter = context.Value("q", 0)
results = context.Queue()
most = context.Value("q", 0)


def work(number: int) -> int:
    with places:
        with lock:
            memory.buf[number] = (memory.buf[number] + 1) % 256
        with counter.get_lock():
            counter.value += 1
    results.put(number)
    return number * number


def check() -> None:
    before, bytes_before = counter.value, bytes(memory.buf[:100])
    assert pool.map(work, range(100), chunksize=5) == [n * n for n in range(100)]
    assert sorted(results.get(timeout=60) for _ in range(100)) == list(range(100))
    assert counter.value == before + 100
    assert bytes(memory.buf[:100]) == bytes((b + 1) % 256 for b in bytes_before)


pool = context.Pool(3)
selfcheck.serve(check)
