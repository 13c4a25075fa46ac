"""A wait that is begun again with the time it had left leaves no trace in the registers."""

from __future__ import annotations

import struct
import time

import pytest

from replant.abi import ptrace as abi
from replant.abi import x86_64 as nr
from replant.tracee import detour, ptrace, resume, vdso
from replant.tracee.freeze import freeze
from replant.tracee.memory import Memory

from .support import python, until

HOUR = 3600 * 10**9
CALLS = {
    "epoll_wait": (nr.epoll_wait, "select.epoll().poll(3600)"),
    "sigtimedwait": (nr.rt_sigtimedwait, "signal.sigtimedwait([10], 3600)"),
}


def program(wait: str) -> str:
    return f"import select, signal; print('ready', flush=True); {wait}; print('over', flush=True)"


def in_call(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().startswith(f"{number} ")


@pytest.mark.parametrize("call", CALLS)
def test_a_wait_ends_when_it_was_to_end(call: str) -> None:
    """It has been told that its hour is over; and before that, that half of it is."""
    number, wait = CALLS[call]
    with python(program(wait)) as process:
        until(lambda: in_call(process.pid, number))
        half = time.monotonic_ns() + HOUR // 2
        for end in (half, time.monotonic_ns()):
            with freeze(process.pid) as frozen:
                (thread,) = frozen.tasks[0].threads
                assert thread.end == half if end != half else thread.end > half
                thread.end = end
        assert process.stdout.readline() == b"over\n"


def test_before_its_call_and_behind_it() -> None:
    number, wait = CALLS["epoll_wait"]
    with python(program(wait)) as process:
        until(lambda: in_call(process.pid, number))
        with freeze(process.pid) as frozen:
            (thread,) = frozen.tasks[0].threads
            found = bytes(thread.healed)
            thread.end = end = thread.end - HOUR // 2
            inside = Memory(process.pid)
            base = vdso.base(process.pid, inside)
            inside.close()
            assert not detour.has_code(process.pid, base)
            for result in (None, 1):
                resume.send_off(thread)
                assert detour.has_code(process.pid, base)
                assert ptrace.getregs(process.pid)[abi.R10 : abi.R10 + 8] != found[abi.R10 : abi.R10 + 8]
                if result is not None:
                    ptrace.setregs(process.pid, after_call(ptrace.getregs(process.pid), result))
                thread.load()
                assert detour.leave(thread)
                assert thread.end == (end if result is None else 0)
                expected = found if result is None else after_call(found, result)
                assert ptrace.getregs(process.pid) == thread.registers == expected
                thread.end = end
            ptrace.setregs(process.pid, found)
            thread.end = 0


def after_call(registers: bytes, result: int) -> bytes:
    """As if the call that is to be made had been made."""
    changed = bytearray(registers)
    (rip,) = struct.unpack_from("<Q", registers, abi.RIP)
    struct.pack_into("<Q", changed, abi.RIP, rip + 2)
    struct.pack_into("<q", changed, abi.RAX, result)
    return bytes(changed)


def test_a_wait_without_end_begins_as_it_was() -> None:
    with python(program("select.epoll().poll()")) as process:
        until(lambda: in_call(process.pid, nr.epoll_wait))
        with freeze(process.pid) as frozen:
            assert frozen.tasks[0].threads[0].end == 0
