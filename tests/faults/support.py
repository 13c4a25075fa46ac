"""Failures put into the engine from outside: the N-th operation of a restore fails, and nothing may be left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from replant.abi.call import Answer, Call
from replant.errors import ReplantError
from replant.execute import landing, local, stubs
from replant.flows.restore import restore

HERE = Path(__file__).parent
NO_SUCH_CALL = 0x3FFFFFFF


def family(folder: Path) -> Program:
    """The small tree, up and content."""
    program = Program.start([str(compiled(HERE / "family.c", folder))], folder)
    program.until_ready()
    program.ask()
    return program


def uprooted(folder: Path) -> tuple[Program, Path]:
    """The small tree as an image; it runs no more."""
    program, image = family(folder), folder / "image"
    replant_json("dump", program.root, "-o", image, "--kill")
    program.reap()
    return program, image


def processes() -> set[int]:
    """Everything that this pid namespace has."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


class Countdown:
    """Lets ``left`` operations pass; the next one fails. ``reached`` tells whether it came to that."""

    def __init__(self, left: int) -> None:
        self.left = left

    def hit(self) -> bool:
        self.left -= 1
        return self.left == -1

    @property
    def reached(self) -> bool:
        return self.left < 0


def arm(patch: pytest.MonkeyPatch, fault: Countdown) -> None:
    """Count every call of every actor, and every setting of registers; one of them fails."""
    encode, one, land = stubs.batch.encode, local._one, landing._set

    def encode_with_fault(calls: list[Call], *rest: Any, **named: Any) -> Any:
        marked = [Call(NO_SUCH_CALL, why=f"fault: {c.why}") if fault.hit() else c for c in calls]
        track, first = (rest[2], *rest[3:], 0)[:2] if len(rest) > 2 else (None, 0)
        if track is not None:
            track.calls[first : first + len(marked)] = marked
        return encode(marked, *rest, **named)

    def one_with_fault(call: Call) -> Answer:
        return Answer(-5) if fault.hit() else one(call)

    def land_with_fault(registers: Any) -> None:
        if fault.hit():
            raise ReplantError("fault: landing", code="fault")
        land(registers)

    patch.setattr(stubs.batch, "encode", encode_with_fault)
    patch.setattr(local, "_one", one_with_fault)
    patch.setattr(landing, "_set", land_with_fault)


def restore_with_fault(image: Path, number: int) -> str:
    """In a child process: the words of the failure, ``""`` if operation ``number`` was never reached."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _restore(image, number, writing)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0, f"the restorer itself broke: {text}"
    return text


def _restore(image: Path, number: int, writing: int) -> None:
    code, fault = 1, Countdown(number)
    try:
        with pytest.MonkeyPatch.context() as patch:
            arm(patch, fault)
            try:
                restore(str(image))
                os.write(writing, b"")
                code = 0
            except ReplantError as e:
                os.write(writing, f"{type(e).__name__}: {e}".encode())
                code = 0
    finally:
        os._exit(code)
