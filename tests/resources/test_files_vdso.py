"""A tree from a kernel with another vDSO: addresses of its functions lead to those of the kernel here."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import roundtrip
from replant.abi import ptrace, vdso
from replant.abi.mman import PAGE
from replant.errors import Blocker, ImageError
from replant.image.container import ImageWriter, open_image
from replant.model.tree import Attribute, Model
from replant.resources import registry
from replant.resources.files.vdso import State
from replant.resources.shared.vdso import alike, led

HERE = Path(__file__).parent
NAMES = ("clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres", "getrandom")


def build(folder: Path, *more: str) -> bytes:
    """Another build of the vDSO: the same functions at other places, all of which lie."""
    built = folder / "other.so"
    words = ["gcc", "-O2", "-shared", "-nostdlib", "-fcf-protection=none", "-falign-functions=32", "-Wl,-s"]
    layout = ["-Wl,-z,noseparate-code", "-Wl,--build-id", "-Wno-builtin-declaration-mismatch"]
    subprocess.run([*words, *layout, *more, "-o", built, HERE / "other_vdso.c"], check=True)
    code = built.read_bytes()
    return code + bytes(-len(code) % PAGE)


@pytest.fixture
def other(tmp_path: Path) -> bytes:
    return build(tmp_path, *(f"-DWITH_{name}" for name in vdso.functions(vdso.code())))


def uprooted(folder: Path, places: dict[str, int]) -> tuple[Program, Path]:
    """A program that calls functions of the vDSO at these places, away, and its image."""
    (folder / "tree").mkdir()
    argv = [str(compiled(HERE / "old_addresses.c", folder)), *(str(places.get(name, 0)) for name in NAMES)]
    program, image = Program.start(argv, folder / "tree"), folder / "image"
    program.until_ready()
    replant_json("dump", program.root, "-o", image, "--kill")
    program.reap()
    return program, image


def edited(image: Path, change: Callable[[Model], Model]) -> Path:
    """The image of a changed model, with the same pages."""
    made = image.with_name(f"{image.name}.edited")
    with open_image(str(image)) as source, ImageWriter.create(str(made)) as out:
        os.sendfile(out.pages_fd, source.pages_fd, 0, source.pages_size)
        model = change(source.model(registry.state_class))
        out.write(model, registry.state_class, source.manifest.xfeatures, dict(source.manifest.notes))
        out.commit()
    return made


def from_kernel(code: bytes) -> Callable[[Model], Model]:
    """Makes of a model one from a kernel with that vDSO."""

    def change(model: Model) -> Model:
        files = [f._replace(state=State(code)) if f.kind == "vdso" else f for f in model.files]
        return model._replace(files=tuple(files))

    return change


def special(pid: int) -> list[str]:
    """The mappings that the kernel has made for its vDSO."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [line.split()[-1] for line in lines if line.endswith(("[vdso]", "[vvar]", "[vvar_vclock]"))]


@pytest.mark.isolated
@pytest.mark.parametrize("how", [(), ("--lazy",), ("--stop",)], ids=["plain", "lazy", "stop"])
def test_old_addresses_lead_to_the_new_functions(how: tuple[str, ...], tmp_path: Path, other: bytes) -> None:
    program, image = uprooted(tmp_path, vdso.functions(other))
    with program:
        replant_json("restore", edited(image, from_kernel(other)), "--detach", *how)
        if how == ("--stop",):
            os.kill(program.root, signal.SIGCONT)
        program.ask()
        found = special(program.root)
        roundtrip(program, program.ask)
        assert special(program.root) == found == special(os.getpid()), "there is one vDSO, and its data"


@pytest.mark.isolated
def test_the_same_without_another_kernel(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path, vdso.functions(vdso.code()))
    with program:
        replant_json("restore", image, "--detach")
        program.ask()
        roundtrip(program, program.ask)


@pytest.mark.isolated
def test_a_thread_inside_of_the_old_code_is_refused(tmp_path: Path, other: bytes) -> None:
    program, image = uprooted(tmp_path, vdso.functions(other))

    def inside(model: Model) -> Model:
        place = next(v.end for v in reversed(model.mms[0].vmas) if v.kind == "vdso") - PAGE
        return model._replace(attributes=tuple(_moved(a, place) for a in from_kernel(other)(model).attributes))

    answer = replant_json("restore", edited(image, lambda m: from_kernel(other)(inside(m))), expect=1)
    assert [b["code"] for b in answer["blockers"]] == ["vdso-inside"]
    assert f"thread {program.root}" in answer["blockers"][0]["error"]


def _moved(attribute: Attribute, rip: int) -> Attribute:
    state: Any = attribute.state
    if attribute.kind != "registers":
        return attribute
    gprs = bytearray(state.gprs)
    struct.pack_into("<Q", gprs, ptrace.RIP, rip)
    return attribute._replace(state=state._replace(gprs=bytes(gprs)))


def test_a_function_that_is_not_here_is_refused(other: bytes) -> None:
    unknown = other.replace(b"__vdso_time", b"__vdso_tide")
    with pytest.raises(Blocker, match="has no tide"):
        led(unknown, vdso.code(), 0)


def test_functions_too_short_for_a_jump_are_refused(tmp_path: Path) -> None:
    crowded = build(tmp_path, "-Os", "-falign-functions=1")
    with pytest.raises(Blocker, match="no room"):
        led(crowded, vdso.code(), 0)


def test_code_fitted_to_another_cpu_is_no_other_build(other: bytes) -> None:
    here = vdso.code()
    place = vdso.functions(here)["time"]
    fitted = here[:place] + b"\x90" + here[place + 1 :]
    assert alike(fitted, here)
    assert not alike(other, here)


def test_bytes_that_are_no_vdso() -> None:
    for junk in (b"", bytes(PAGE), b"\x7fELF" + b"\xff" * PAGE):
        with pytest.raises(ImageError, match="vDSO"):
            led(junk, vdso.code(), 0)
