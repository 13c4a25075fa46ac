"""What freezing and asking cost, beside the least that the same machine does it for in the same run.

python bench/tracee/speed.py
"""

from __future__ import annotations

import gc
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from struct import Struct

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.tracee import ptrace, remote, wait
from replant.tracee.batch import RECORD, encode
from replant.tracee.freeze import freeze
from replant.tracee.questions import Questions

SHORT = Questions([Call(nr.gettid)])
LONG = Questions([Call(nr.prctl, 3)] * 10 + [Call(nr.rt_sigaction, n, 0, Out(32), 8) for n in range(1, 65)])

THREADS = "import threading, time\nfor _ in range(199): threading.Thread(target=time.sleep, args=(99,)).start()\n"
THREADS += "print('ready', flush=True); time.sleep(99)"
PROCESSES = "for _ in {1..199}; do sleep 99 & done; echo ready; wait"


def median(function: Callable[[], object], times: int = 11) -> float:
    """Microseconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1e6


def bare_stop(pid: int) -> None:
    """The least a stop can be: seize, interrupt, wait, detach."""
    ptrace.seize(pid)
    ptrace.interrupt(pid)
    wait.for_task(pid)
    ptrace.detach(pid)


def freeze_once(pid: int) -> None:
    with freeze(pid):
        pass


def show(what: str, microseconds: float, units: int, bare: float) -> None:
    each = microseconds / units
    print(f"{what:<40}{microseconds / 1000:9.2f} ms{each:9.1f} us each{each / bare:8.1f} x a bare stop")


def measure(command: list[str], units: int) -> None:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        bare = median(lambda: bare_stop(process.pid), 101)
        show(f"freeze and release {units}", median(lambda: freeze_once(process.pid)), units, bare)
        with freeze(process.pid) as frozen:
            for name, questions in (("1 call", SHORT), ("74 calls", LONG)):
                show(f"ask {units}, {name}", median(lambda q=questions: ask_all(frozen.tasks, q)), units, bare)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask_all(tasks: list, questions: Questions) -> None:
    for inside in remote.each(tasks, questions):
        for thread in inside.task.threads:
            inside.ask(thread, questions)


def measure_encoding(units: int = 20_000) -> None:
    """Encoding, beside the cheapest loop that could do it."""
    calls = [Call(nr.mmap, 0x7F0000000000 + n * 4096, 4096, 3, 0x22, -1, 0) for n in range(units)]
    pack, buffer = Struct("<II6q").pack_into, bytearray(RECORD * units)

    def bare() -> None:
        for index, call in enumerate(calls):
            pack(buffer, index * RECORD, call.nr, 0, *call.args)

    encoding, least = median(lambda: encode(calls, 0x1000, 0x2000)), median(bare)
    print(f"encode {units} calls: {encoding / 1000:.1f} ms, {encoding / least:.1f} x a bare loop")


def main() -> None:
    gc.disable()
    measure_encoding()
    for name, command, units in (
        ("one process", ["sh", "-c", "echo ready; exec sleep 99"], 1),
        ("200 threads", [sys.executable, "-c", THREADS], 200),
        ("200 processes", ["bash", "-c", PROCESSES], 200),
    ):
        print(name)
        measure(command, units)


if __name__ == "__main__":
    main()
