"""A program with a probe of the kernel in it: refused, or kept on request, and the probe counts on."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, roundtrip
from live.roundtrip import every_privileged_mode as every_mode
from replant.abi import x86_64
from replant.abi.libc import address, syscall

HERE = Path(__file__).parent
SOURCE = Path("/sys/bus/event_source/devices/uprobe/type")

pytestmark = pytest.mark.isolated


class Probe:
    """Counts how often an instruction of a file is reached, by whomever; perf_event_open(2)."""

    def __init__(self, path: Path, offset: int) -> None:
        try:
            kind = int(SOURCE.read_text())
        except FileNotFoundError:
            pytest.skip("this kernel has no uprobes")
        name = os.fsencode(path) + b"\0"
        self._name = bytearray(name)
        # struct perf_event_attr: type, size, …, config1: where the path is, config2: the offset
        head = struct.pack("=IIQQQQQII", kind, 120, 0, 0, 0, 0, 0, 0, 0)
        attributes = bytearray((head + struct.pack("=QQ", address(self._name), offset)).ljust(120, b"\0"))
        self.fd = syscall(x86_64.perf_event_open, attributes, -1, 0, -1, 0)
        self._other = [self.fd]
        for cpu in range(1, os.cpu_count() or 1):
            self._other.append(syscall(x86_64.perf_event_open, attributes, -1, cpu, -1, 0))

    def count(self) -> int:
        return sum(int.from_bytes(os.read(fd, 8), "little") for fd in self._other)

    def close(self) -> None:
        for fd in self._other:
            os.close(fd)


def test_refused(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        probe = probed(program)
        (blocker,) = replant_json("dump", program.root, "-o", tmp_path / "image", "--kill", expect=1)["blockers"]
        assert blocker["code"] == "mapping-uprobes" and "--uprobes keep" in blocker["hint"]
        before = probe.count()
        program.ask()
        assert probe.count() == before + 1
        probe.close()


@every_mode
def test_kept_on_request(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with start(folder) as program:
        probe = probed(program)

        def check() -> None:
            before = probe.count()
            program.ask()
            assert probe.count() == before + 1, "the probe is not reached"

        roundtrip(program, check, mode, options=("--uprobes", "keep"))
        probe.close()


def start(folder: Path) -> Program:
    program = Program.start([str(compiled(HERE / "probed.c", folder))], folder)
    program.until_ready()
    return program


def probed(program: Program) -> Probe:
    """Put the probe in, and have it reached once: then the kernel has a place for the replaced instruction."""
    probe = Probe(program.folder / "probed", int((program.folder / "offset").read_text()))
    program.ask()
    assert probe.count() == 1
    assert "[uprobes]" in Path(f"/proc/{program.root}/maps").read_text()
    return probe
