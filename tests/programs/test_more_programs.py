"""More real programs, of more languages and sorts: each is uprooted and replanted twice in a row."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from live import wait
from live.cases import Case, get, listening, needs, only_listening, self_checking
from live.program import Program, tree
from live.roundtrip import MODES, roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


def python(name: str, folder: Path, *words: str) -> Case:
    return self_checking([sys.executable, str(HERE / name), *words], folder)


def postgres(_: Path) -> Case:
    """The server is another user, so that it needs a place which it may enter; the mount ends with the test."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "replant", "/srv"], check=True)
    folder = Path("/srv/tree")
    folder.mkdir()
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("postgresql is not installed")
    words = [str(binaries[-1] / name) for name in ("initdb", "postgres", "psql")]
    return python("postgres_transaction.py", folder, *words)


def counting_server(port: int, argv: list[str], folder: Path) -> Case:
    """A server that is told numbers one after another, and checks itself each time; its own counter goes on."""
    program = Program.start(argv, folder)
    listening(program, port)
    count = before = 0

    def check() -> None:
        nonlocal count, before
        words = get(port, f"/{count}").decode().split()
        assert words[0] == "ok", words
        count += 1
        wait.until(lambda: int(get(port, f"/{count}").split()[1]) > before, "its threads go on")
        before = int(words[1])
        count += 1
        only_listening(program)

    check()
    return program, check


def java(folder: Path) -> Case:
    needs("javac")
    return counting_server(7003, [needs("java"), "-Xmx64m", "-XX:+UseSerialGC", str(HERE / "HeapServer.java")], folder)


def go(folder: Path) -> Case:
    built = folder / "goroutines"
    environment = {
        "HOME": str(folder),
        "GOCACHE": str(folder / "cache"),
        "PATH": "/usr/bin:/bin",
        "GOFLAGS": "-mod=mod",
    }
    argv = [needs("go"), "build", "-o", str(built), str(HERE / "goroutines.go")]
    subprocess.run(argv, check=True, env=environment, cwd=folder)
    return counting_server(7004, [str(built)], folder)


def rust(folder: Path) -> Case:
    built = folder / "channels"
    subprocess.run([needs("rustc"), "-O", "-o", str(built), str(HERE / "channels.rs")], check=True)
    return counting_server(7005, [str(built)], folder)


def memcached(folder: Path) -> Case:
    """memcached keeps what it was told, and is told more."""
    words = ["-u", "root", "-l", "127.0.0.1", "-p", "7006", "-U", "0", "-t", "2"]
    program = Program.start([needs("memcached"), *words], folder)
    listening(program, 7006)
    told = 0

    def tell(words: str) -> bytes:
        with socket.create_connection(("127.0.0.1", 7006), timeout=60) as s:
            s.sendall(words.encode() + b"\r\nquit\r\n")
            answer = b"".join(iter(lambda: s.recv(4096), b""))
        only_listening(program)
        return answer

    def check() -> None:
        nonlocal told
        for n in range(told):
            assert f"value-{n}".encode() in tell(f"get key-{n}")
        value = f"value-{told}"
        assert b"STORED" in tell(f"set key-{told} 0 0 {len(value)}\r\n{value}")
        told += 1

    check()
    return program, check


#: programs that change by themselves as they run are compared while they are stopped
STOPPED = ("go", "java")
CASES: dict[str, Callable[[Path], Case]] = {
    "memcached": memcached,
    "java": java,
    "go": go,
    "rust": rust,
    "numpy-pandas": lambda folder: python("numpy_arrays.py", folder),
    "multiprocessing-pool": lambda folder: python("pool_shared.py", folder),
    "uvloop": lambda folder: python("uv_echo.py", folder),
    "postgresql": postgres,
    "perl": lambda folder: self_checking([needs("perl"), str(HERE / "scripts.pl")], folder),
    "ruby": lambda folder: self_checking([needs("ruby"), str(HERE / "fibers.rb")], folder),
}


@pytest.mark.parametrize("name", CASES)
def test_goes_on(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    program, check = CASES[name](folder)
    with program:
        roundtrip(program, check, MODES["stop" if name in STOPPED else "plain"], times=2)


def test_an_encoder_makes_the_same_film(tmp_path: Path) -> None:
    """ffmpeg is uprooted in the middle of a film, twice; each frame is that of a film made in one go."""
    folder = tmp_path / "tree"
    folder.mkdir()
    source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=20"]
    encode = ["-c:v", "mpeg4", "-threads", "2", "-flags", "+bitexact", "-fflags", "+bitexact"]
    quiet = [needs("ffmpeg"), "-nostdin", "-v", "error", "-y", "-flush_packets", "1"]
    subprocess.run([*quiet, *source, *encode, str(tmp_path / "whole.avi")], check=True)
    film = folder / "film.avi"
    with Program.start([*quiet, "-re", *source, *encode, str(film)], folder) as program:
        wait.until(lambda: film.exists() and film.stat().st_size > 10_000, "the film has begun")
        for _ in range(2):
            roundtrip(program, lambda: None, MODES["stop"], times=1)
        wait.end_of(program.root, limit=60)
        assert program.output() == ""
    assert film.read_bytes() == (tmp_path / "whole.avi").read_bytes()


def test_a_build_goes_on(tmp_path: Path) -> None:
    """``make -j2`` of a project in C, uprooted with compilers at work, twice: the program that it links is right."""
    folder = tmp_path / "tree"
    folder.mkdir()
    parts = range(60)
    for n in parts:
        (folder / f"part{n}.c").write_text(f"#include <stdio.h>\nint part{n}(void) {{ return {n} * {n}; }}\n")
    names = [f"part{n}" for n in parts]
    calls = " + ".join(f"{name}()" for name in names)
    (folder / "main.c").write_text(
        "#include <stdio.h>\n"
        + "".join(f"int {name}(void);\n" for name in names)
        + f'int main(void) {{ printf("%d\\n", {calls}); }}\n'
    )
    (folder / "Makefile").write_text(
        f"all: {' '.join(f'{name}.o' for name in names)} main.o\n\tgcc -o all $^\n%.o: %.c\n\tgcc -O2 -c -o $@ $<\n"
    )
    needs("gcc")
    with Program.start([needs("make"), "-j2"], folder) as program:
        for _ in range(2):
            wait.until(lambda: len(tree(program.root)) >= 3, "compilers are at work")
            roundtrip(program, lambda: None, MODES["stop"], times=1)
        wait.end_of(program.root, limit=120)
    assert re.fullmatch(r"(gcc .*\n)+", program.output()), program.output()
    done = subprocess.run([folder / "all"], capture_output=True, text=True, check=True)
    assert int(done.stdout) == sum(n * n for n in parts)
