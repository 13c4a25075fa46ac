"""A process that runs calls as a stub does: one by one, raw, all signals blocked; and the facts about it.

A kind is tried with two of them: one is put into a state and read, the other made into the same and read as well.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import struct
from collections.abc import Iterable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Self

from replant.abi import x86_64 as nr
from replant.abi.call import Answer, Call, Out, Slot, Track
from replant.abi.libc import syscall_raw
from replant.observe import procfs

_SIZE = struct.Struct("<I")
_SIG_SETMASK = 2
_ALL = b"\xff" * 8


def perform(calls: Sequence[Call], check: bool = True) -> list[Answer]:
    """Run calls in this very process. :raises AssertionError: one failed with an error that is not ``ok``."""
    answers: list[Answer] = []
    for call in calls:
        rooms = {place: bytearray(a.start.ljust(a.size, b"\0")) for place, a in enumerate(call.args) if type(a) is Out}
        args = [rooms.get(place, _value(arg, answers)) for place, arg in enumerate(call.args)]
        ret = syscall_raw(call.nr, *args)
        answers.append(Answer(ret, [bytes(room) for room in rooms.values()]))
        if check and -4096 < ret < 0 and -ret not in call.ok:
            raise AssertionError(f"{nr.name(call.nr)}{call.args} ({call.why}): {os.strerror(-ret)}")
    return answers


def _value(arg: Any, answers: list[Answer]) -> Any:
    if isinstance(arg, Slot):
        return answers[arg.index].ret
    return arg + b"\0" if isinstance(arg, bytes) else arg


class Child:
    """A fresh child; a context manager that kills it at the end."""

    def __init__(self) -> None:
        (there, self._requests), (self._replies, back) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._requests)
                os.close(self._replies)
                _serve(there, back)
            finally:
                os._exit(70)
        os.close(there)
        os.close(back)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._requests)
        os.close(self._replies)

    def run(self, calls: Iterable[Call], check: bool = True) -> list[Answer]:
        """Run calls inside. :raises AssertionError: one failed."""
        _send(self._requests, (tuple(calls), check))
        answers = _receive(self._replies)
        if isinstance(answers, str):
            raise AssertionError(answers)
        return answers

    def call(self, number: int, *args: Any) -> Answer:
        """Run one call inside, whatever it gives."""
        return self.run([Call(number, *args)], check=False)[0]


def _serve(requests: int, replies: int) -> None:
    gc.disable()  # test libraries read a clock at each collection, and a child may be forbidden to (PR_SET_TSC)
    blank = bytes(32)
    syscall_raw(nr.rt_sigprocmask, _SIG_SETMASK, _ALL, 0, 8)
    for number in range(1, 65):
        syscall_raw(nr.rt_sigaction, number, blank, 0, 8)
    syscall_raw(nr.sigaltstack, struct.pack("<QI4xQ", 0, 2, 0), 0)
    while True:
        calls, check = _receive(requests)
        try:
            reply: object = perform(calls, check)
        except AssertionError as error:
            reply = str(error)
        _send(replies, reply)


def _send(fd: int, what: object) -> None:
    data = pickle.dumps(what)
    data = _SIZE.pack(len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def _receive(fd: int) -> Any:
    return pickle.loads(_exactly(fd, *_SIZE.unpack(_exactly(fd, _SIZE.size))))


def _exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(fd, size - len(data))
        if not chunk:
            raise EOFError("the other end is gone")
        data += chunk
    return data


def facts(child: Child, **others: object) -> Any:
    """What a dump knows of the child's only thread; ``others`` replaces or adds."""
    pid = child.pid
    known = {
        "pid": pid,
        "tid": pid,
        "leader": True,
        "alive": True,
        "stat": procfs.stat(pid),
        "status": procfs.status(pid),
        "pending_thread": (),
        "pending_process": (),
        "stopped": False,
        "rseq": (0, 0, 0),
        "robust_list": (0, 0),
        "sigmask": 0,
    }
    return SimpleNamespace(**known | others)


def read(kind: ModuleType, child: Child, **others: object) -> Any:
    """The State of a kind, as a dump would read it."""
    t = facts(child, **others)
    asked = kind.ask(t) if hasattr(kind, "ask") else ()
    return kind.read(t, child.run([*kind.ASKS, *asked]))


def make(kind: ModuleType, state: Any, child: Child, restore: Any = None) -> None:
    """Make a State again, as a restore would: its check, the calls inside, the calls outside."""
    if hasattr(kind, "check"):
        kind.check(state, child.pid)
    inside, outside = Track("inside"), Track("outside")
    kind.make(state, child.pid, inside, restore)
    child.run(inside.calls)
    if hasattr(kind, "make_outside"):
        kind.make_outside(state, child.pid, outside, restore)
        perform(outside.calls)


def again(kind: ModuleType, state: Any, restore: Any = None) -> Any:
    """What is read of a fresh child in which a State has been made."""
    with Child() as child:
        make(kind, state, child, restore)
        return read(kind, child)
