"""Programs and libraries that have been replaced on the disk while they run."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import zlib

from held import Check

_ECHO = """
import os
while os.read(0, 1):
    os.write(1, os.readlink("/proc/self/exe").encode())
"""


def replaced_program() -> Check:
    """Another file has taken the place of the executable of a child, as a package manager does it."""
    shutil.copy(os.path.realpath(sys.executable), "program")
    own = {**os.environ, "PYTHONHOME": sys.base_prefix}
    child = subprocess.Popen(["./program", "-c", _ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own)
    assert child.stdin and child.stdout
    ask, told = child.stdin.fileno(), child.stdout.fileno()

    def answer() -> str:
        os.write(ask, b"?")
        return os.read(told, 4096).decode()

    assert answer().endswith("/program")
    _replace("program")

    def check() -> None:
        assert answer().endswith("/program (deleted)")
        with open("program", "rb") as file:
            assert file.read() == b"another version"

    return check


def replaced_library() -> Check:
    """Another file has taken the place of a library that is mapped and called."""
    shutil.copy(_path_of("libz"), "library.so")
    library = ctypes.CDLL("./library.so")
    _replace("library.so")

    def check() -> None:
        assert library.crc32(0, b"data", 4) & 0xFFFFFFFF == zlib.crc32(b"data")
        with open("/proc/self/maps") as maps:
            assert "library.so (deleted)" in maps.read()

    return check


def _path_of(name: str) -> str:
    with open("/proc/self/maps") as maps:
        return next(line.split()[-1] for line in maps if f"/{name}" in line)


def _replace(name: str) -> None:
    with open("new", "wb") as file:
        file.write(b"another version")
    os.rename("new", name)


def a_library() -> Check:
    """A library of the program's own directory, which the test will change."""
    shutil.copy(_path_of("libz"), "own.so")
    library = ctypes.CDLL("./own.so")

    def check() -> None:
        assert library.crc32(0, b"data", 4) & 0xFFFFFFFF == zlib.crc32(b"data")

    return check
