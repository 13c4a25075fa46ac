"""A wait that is begun again with the time it had left leaves no trace in the registers."""

from __future__ import annotations

import struct
import time
from errno import EAGAIN, EINTR
from pathlib import Path

import pytest

from replant.abi import ptrace as abi
from replant.abi import x86_64 as nr
from replant.abi.restart import ERESTARTNOHAND
from replant.tracee import detour, ptrace, resume, vdso
from replant.tracee.freeze import freeze
from replant.tracee.memory import Memory

from .assemble import assemble
from .support import python, until

HOUR = 3600 * 10**9
RECEIVE = "a.settimeout(None); a.setsockopt(1, 20, struct.pack('ll', 3600, 0)); give(a.recv, 1)"
CALLS = {
    "epoll_wait": (nr.epoll_wait, "give(select.epoll().poll, 3600)"),
    "sigtimedwait": (nr.rt_sigtimedwait, "give(signal.sigtimedwait, [10], 3600)"),
    "recvfrom": (nr.recvfrom, RECEIVE),
}
PROGRAM = """
import select, signal, socket, struct, threading
a, b = socket.socketpair()
threading.Thread(target=lambda: b.send(input().encode()), daemon=True).start()
def give(wait, *arguments):
    print("ready", flush=True)
    try:
        print(wait(*arguments), flush=True)
    except BlockingIOError:
        print("nothing", flush=True)
"""


def in_call(pid: int, number: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().startswith(f"{number} ")


def test_the_bytes_are_those_of_the_source() -> None:
    code, labels = assemble(Path(detour.__file__).with_suffix(".S"))
    assert code == detour.CODE
    assert (labels["wait"], labels["call"]) == (detour.WAIT, detour.CALL)
    assert len(code) <= vdso.DETOUR


@pytest.mark.parametrize("call", CALLS)
def test_a_wait_ends_when_it_was_to_end(call: str) -> None:
    """It has been told that its hour is over; and before that, that half of it is."""
    number, wait = CALLS[call]
    with python(PROGRAM + wait) as process:
        until(lambda: in_call(process.pid, number))
        half = time.monotonic_ns() + HOUR // 2
        for end in (half, time.monotonic_ns()):
            with freeze(process.pid) as frozen:
                thread = frozen.tasks[0].threads[0]
                assert thread.end == half if end != half else thread.end > half or number == nr.recvfrom
                thread.end = end
        assert process.stdout.readline() in (b"nothing\n", b"[]\n", b"None\n")


def test_what_comes_meanwhile_is_received() -> None:
    with python(PROGRAM + RECEIVE) as process:
        until(lambda: in_call(process.pid, nr.recvfrom))
        for _ in range(2):
            with freeze(process.pid) as frozen:
                frozen.tasks[0].threads[0].end = time.monotonic_ns() + HOUR // 2
        process.stdin.write(b"x\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"b'x'\n"


@pytest.mark.parametrize(
    ("call", "result", "expected", "has_end"),
    [
        ("epoll_wait", None, None, True),
        ("epoll_wait", 1, 1, False),
        ("epoll_wait", -EINTR, -EINTR, True),
        ("recvfrom", None, None, True),
        ("recvfrom", 0, -EAGAIN, False),
        ("recvfrom", 1, None, False),
        ("recvfrom", -EINTR, -EINTR, True),
        ("recvfrom", -ERESTARTNOHAND, -EINTR, True),
    ],
)
def test_before_its_call_and_behind_it(call: str, result: int | None, expected: int | None, has_end: bool) -> None:
    """The first system call of the detour, not made yet (None) or with that result, is as good as its own one."""
    number, wait = CALLS[call]
    with python(PROGRAM + wait) as process:
        until(lambda: in_call(process.pid, number))
        with freeze(process.pid) as frozen:
            thread = frozen.tasks[0].threads[0]
            found, end = bytes(thread.healed), time.monotonic_ns() + HOUR // 2
            thread.end = end
            assert not has_code(process.pid)
            resume.send_off(thread)
            assert has_code(process.pid)
            on_detour = ptrace.getregs(process.pid)
            assert on_detour[abi.R10 : abi.R10 + 8] != found[abi.R10 : abi.R10 + 8] or call == "recvfrom"
            if result is not None:
                ptrace.setregs(process.pid, after_call(on_detour, result))
            thread.load()
            assert detour.leave(thread)
            wanted = found if expected is None else after_call(found, expected)
            assert without_call(ptrace.getregs(process.pid)) == without_call(thread.registers) == without_call(wanted)
            assert thread.end == (end if has_end else 0)
            ptrace.setregs(process.pid, found)
            thread.end = 0


def has_code(pid: int) -> bool:
    inside = Memory(pid)
    try:
        return detour.has_code(pid, vdso.base(pid, inside))
    finally:
        inside.close()


def after_call(registers: bytes, result: int) -> bytes:
    """As if the call that is to be made had been made."""
    changed = bytearray(registers)
    (rip,) = struct.unpack_from("<Q", registers, abi.RIP)
    struct.pack_into("<Q", changed, abi.RIP, rip + 2)
    struct.pack_into("<q", changed, abi.RAX, result)
    return bytes(changed)


def without_call(registers: bytes) -> bytes:
    """Without orig_rax, which belongs to the stop and not to the program."""
    return bytes(registers[: abi.ORIG_RAX] + registers[abi.ORIG_RAX + 8 :])


def test_a_wait_without_end_begins_as_it_was() -> None:
    with python(PROGRAM + "give(select.epoll().poll)") as process:
        until(lambda: in_call(process.pid, nr.epoll_wait))
        with freeze(process.pid) as frozen:
            assert frozen.tasks[0].threads[0].end == 0
        assert not has_code(process.pid)
