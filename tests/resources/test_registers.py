"""registers: what becomes of interrupted calls: by the table, and tried on a real process that sleeps in them."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from task_child import Child

from replant.abi import ptrace as abi
from replant.abi import x86_64 as nr
from replant.abi.call import Answer, Call
from replant.abi.sigaction import SA_RESTART, SIGACTION
from replant.errors import Blocker, ImageError
from replant.observe import procfs
from replant.observe.bpf.restarts import Restart
from replant.resources.task import registers
from replant.tracee import ptrace

USR1 = 10
SYS, NOINTR, NOHAND, BLOCK, EINTR = -512, -513, -514, -516, -4
HOURS = struct.pack("<qq", 7200, 0)


def gprs(**values: int) -> bytes:
    data = bytearray(abi.USER_REGS_SIZE)
    struct.pack_into("<Q", data, abi.CS, abi.USER_CS)
    for name, value in values.items():
        struct.pack_into("<q", data, getattr(abi, name.upper()), value)
    return bytes(data)


def reg(data: bytes, name: str) -> int:
    value: int = struct.unpack_from("<q", data, getattr(abi, name.upper()))[0]
    return value


def settled(data: bytes, caught: int = 0, blocked: int = 0, flags: int = 0) -> bytes:
    """The registers of a thread for which SIGUSR1 is pending, if it is in ``caught``."""
    state: bytes = saved(data, caught, blocked, flags).gprs
    return state


def saved(
    data: bytes, caught: int = 0, blocked: int = 0, flags: int = 0, restart: Restart | None = None, left: int = -1
) -> registers.State:
    bit = 1 << USR1 - 1
    status = SimpleNamespace(sig_pending=bit, shared_pending=0, sig_caught=caught)
    t: Any = SimpleNamespace(
        tid=1, registers=data, xstate=b"", sigmask=blocked, status=status, pending_thread=(), pending_process=(),
        restart=restart, instruction=b"\x0f\x05", left=left, leader=True, has_detours=False,
    )  # fmt: skip
    answers = [Answer(0, [SIGACTION.pack(4096, flags, 0, 0)]) for _ in registers.ask(t)]
    return registers.read(t, answers)


@pytest.mark.parametrize(
    ("error", "call", "no_handler", "handler", "sa_restart"),
    [
        (SYS, nr.read, nr.read, EINTR, nr.read),
        (NOINTR, nr.clone, nr.clone, nr.clone, nr.clone),
        (NOHAND, nr.pause, nr.pause, EINTR, EINTR),
        (BLOCK, nr.poll, nr.poll, EINTR, EINTR),
        (EINTR, nr.epoll_wait, nr.epoll_wait, EINTR, EINTR),
        (EINTR, nr.close, EINTR, EINTR, EINTR),  # its own answer
        (-11, nr.read, -11, -11, -11),
        (5, nr.read, 5, 5, 5),
        (0, nr.read, 0, 0, 0),
    ],
)
def test_interrupted_calls(error: int, call: int, no_handler: int, handler: int, sa_restart: int) -> None:
    data, bit = gprs(rax=error, orig_rax=call, rip=0x1002), 1 << USR1 - 1
    cases = [(no_handler, {}), (no_handler, {"caught": bit, "blocked": bit}), (handler, {"caught": bit})]
    cases.append((sa_restart, {"caught": bit, "flags": SA_RESTART}))
    for expected, how in cases:
        after = settled(data, **how)
        assert reg(after, "rax") == expected, how
        entered_again = expected == call and expected != error
        assert reg(after, "rip") == (0x1000 if entered_again else 0x1002)
        assert reg(after, "orig_rax") == -1


@pytest.mark.parametrize("rax", [SYS, NOHAND, EINTR, 7])
def test_a_thread_in_user_mode_is_left_alone(rax: int) -> None:
    data = gprs(rax=rax, orig_rax=-1, rip=0x1002)
    assert settled(data) == data


def test_the_rest_of_a_sleep() -> None:
    sleep = gprs(rax=BLOCK, orig_rax=nr.nanosleep, rip=9, rdi=0x100, rsi=0x200)
    assert reg(settled(sleep), "rdi") == 0x200
    without = gprs(rax=BLOCK, orig_rax=nr.nanosleep, rip=9, rdi=0x100)
    assert reg(settled(without), "rdi") == 0x100
    relative = gprs(rax=BLOCK, orig_rax=nr.clock_nanosleep, rip=9, rsi=0, rdx=0x100, r10=0x200)
    assert reg(settled(relative), "rdx") == 0x200


@pytest.mark.parametrize(
    ("function", "arguments", "call"),
    [
        ("hrtimer_nanosleep_restart", {"rdi": 0x1000}, nr.nanosleep),
        ("hrtimer_nanosleep_restart", {"rdi": 1}, nr.clock_nanosleep),
        ("do_restart_poll", {"rdi": 0x1000, "rdx": 50}, nr.poll),
        ("futex_wait_restart", {"rdi": 0x1000, "rsi": 128}, nr.futex),
    ],
)
def test_a_call_that_was_restarted_before(function: str, arguments: dict[str, int], call: int) -> None:
    """On its way out of restart_syscall, or, as a restored thread is before its first step, on its way in."""
    out = gprs(rax=BLOCK, orig_rax=nr.restart_syscall, rip=0x1002, **arguments)
    on_the_way_in = gprs(rax=nr.restart_syscall, orig_rax=-1, rip=0x1000, **arguments)
    for data in (out, on_the_way_in):
        state = saved(data, restart=Restart(function, 5))
        assert (reg(state.gprs, "rax"), reg(state.gprs, "rip"), state.left, state.again) == (call, 0x1000, 5, True)


def test_a_call_whose_end_the_kernel_forgets() -> None:
    """It goes on with what it had left, on a detour, or has failed with EINTR if a handler is about to run."""
    hours = 7_200_000_000_000
    data = gprs(rax=EINTR, orig_rax=nr.epoll_wait, rip=0x1002)
    state, restore = saved(data, left=hours), SimpleNamespace(elapsed=lambda: hours // 2)
    assert (reg(state.gprs, "rax"), reg(state.gprs, "rip"), state.left, state.again) == (
        *(nr.epoll_wait, 0x1000),
        *(hours, True),
    )
    assert registers.landing(state, restore) == ()
    before = time.monotonic_ns()
    assert before <= registers.detour(state, restore) - hours // 2 <= time.monotonic_ns()
    failed = saved(data, caught=1 << USR1 - 1, left=hours)
    assert (reg(failed.gprs, "rax"), failed.left, registers.detour(failed, restore)) == (EINTR, -1, 0)
    endless = saved(data)
    assert (reg(endless.gprs, "rax"), registers.detour(endless, restore)) == (nr.epoll_wait, 0)


def test_a_restarted_call_that_nobody_knows_has_failed() -> None:
    state = saved(gprs(rax=BLOCK, orig_rax=nr.restart_syscall, rip=0x1002))
    assert (reg(state.gprs, "rax"), reg(state.gprs, "rip"), state.left) == (-4, 0x1002, -1)


def test_32_bit_code_is_refused() -> None:
    with pytest.raises(Blocker, match="32-bit"):
        settled(gprs(cs=0x23))


@contextmanager
def asleep(child: Child, calls: list[Call]) -> Iterator[None]:
    """The child sleeps in the last of ``calls``."""
    helper = os.fork()
    if helper == 0:
        child.run(calls, check=False)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(helper, 9)
        os.waitpid(helper, 0)


def sleeping_in(pid: int, call: Call) -> list[str]:
    """Words of /proc/PID/syscall once the process sleeps in that call: number, arguments, rsp, rip."""
    first = [hex(arg) for arg in call.args[:1] if isinstance(arg, int)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/syscall") as file:
            words = file.read().split()
        if words[0] == str(call.nr) and words[1 : 1 + len(first)] == first:
            return words
        os.sched_yield()
    raise AssertionError(f"it never slept in {nr.name(call.nr)}: {words}")


def stop(pid: int) -> Any:
    """Stop it as a dump does; the facts that the kind needs."""
    ptrace.seize(pid)
    ptrace.interrupt(pid)
    os.waitpid(pid, 0)
    return SimpleNamespace(
        tid=pid,
        registers=bytes(ptrace.getregs(pid)),
        xstate=ptrace.getregset(pid),
        sigmask=ptrace.getsigmask(pid),
        status=procfs.status(pid),
        pending_thread=(),
        pending_process=(),
        restart=None,
        instruction=b"",
        left=-1,
        leader=True,
        has_detours=False,
    )


SLEEPS = {
    "pause": [Call(nr.pause)],
    "nanosleep": [Call(nr.nanosleep, HOURS, 0)],
    "clock_nanosleep": [Call(nr.clock_nanosleep, 1, 1, struct.pack("<qq", 2**31, 0), 0)],
    "poll": [Call(nr.poll, 0, 0, 7_200_000)],
    "select": [Call(nr.select, 0, 0, 0, 0, HOURS)],
    "futex": [Call(nr.futex, bytes(4), 0, 0, HOURS, 0, 0)],
    "epoll_wait": [Call(nr.epoll_wait, 50, bytes(12), 1, -1)],
    "rt_sigtimedwait": [Call(nr.rt_sigtimedwait, (1 << USR1 - 1).to_bytes(8, "little"), 0, HOURS, 8)],
    "read": [Call(nr.read, 51, bytes(16), 8)],
    "recvfrom with a timeout": [
        Call(nr.setsockopt, 52, 1, 20, HOURS, 16),  # SOL_SOCKET, SO_RCVTIMEO
        Call(nr.recvfrom, 52, bytes(16), 1, 0, 0, 0),
    ],
}


@pytest.mark.parametrize("what", SLEEPS)
def test_a_stopped_sleeper_sleeps_on(what: str) -> None:
    """With the registers of its State a stopped process is in the same call again, with the same arguments."""
    calls = SLEEPS[what]
    setup = [
        Call(nr.epoll_create1, 0),
        Call(nr.eventfd2, 0, 0),
        Call(nr.socket, 1, 2, 0),  # a unix datagram socket
    ]
    with Child() as child:
        for target, call in zip((50, 51, 52), setup, strict=True):
            child.call(nr.dup2, child.run([call])[0].ret, target)
        with asleep(child, calls):
            before = sleeping_in(child.pid, calls[-1])
            state = registers.read(stop(child.pid), ())
            ptrace.setregs(child.pid, state.gprs)
            ptrace.detach(child.pid)
            assert sleeping_in(child.pid, calls[-1])[:7] == before[:7]


def test_the_time_that_was_left() -> None:
    """A relative sleep with room for the rest goes on with it, not with the whole."""
    with Child() as child:
        at = child.call(nr.mmap, 0, 4096, 3, 0x22, -1, 0).ret
        with open(f"/proc/{child.pid}/mem", "r+b", buffering=0) as memory:
            os.pwrite(memory.fileno(), HOURS, at)
            call = Call(nr.nanosleep, at, at + 16)
            with asleep(child, [call]):
                sleeping_in(child.pid, call)
                state = registers.read(stop(child.pid), ())
                assert reg(state.gprs, "rdi") == at + 16
                seconds, nanoseconds = struct.unpack("<qq", os.pread(memory.fileno(), 16, at + 16))
                assert 7100 < seconds + nanoseconds / 1e9 < 7200
                ptrace.setregs(child.pid, state.gprs)
                ptrace.detach(child.pid)
                assert sleeping_in(child.pid, Call(nr.nanosleep, at + 16))[2] == hex(at + 16)


def test_nothing_is_made_here() -> None:
    state = registers.State(gprs(), b"", 0)
    assert registers.same(state, registers.State(gprs(rax=1), b"", 0), 0) == []


def test_a_cpu_that_lacks_a_component_is_refused() -> None:
    area = bytearray(1024)
    gprs = bytes(216)
    registers.check(registers.State(gprs, bytes(area), 0), 7)
    area[464:472] = (1 << 62 | 1 << 61).to_bytes(8, "little")
    with pytest.raises(Blocker, match="component 61, component 62") as refused:
        registers.check(registers.State(gprs, bytes(area), 0), 7)
    assert refused.value.code == "cpu-features"
    for short in (registers.State(gprs, bytes(512), 0), registers.State(bytes(8), bytes(area), 0)):
        with pytest.raises(ImageError):
            registers.check(short, 7)
