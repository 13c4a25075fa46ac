"""System calls in words: the kernel's headers are the oracle, through the C compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from replant.abi import call_table, names, x86_64

AT_FDCWD = (1 << 64) - 100


def test_every_entry_of_the_table_is_a_call_and_every_kind_is_known():
    for name, kinds in call_table.read().items():
        assert name in call_table.SPECIAL.values() or isinstance(getattr(x86_64, name), int)
        for kind in kinds:
            assert names._shown(kind, 1) and names._shown(kind, (1 << 64) - 1) and names._shown(kind, 0)
        assert len(kinds) <= 6


@pytest.mark.parametrize(
    ("nr", "args", "shown"),
    [
        (
            x86_64.mmap,
            (0, 8192, 0, 0x22, -1 & (1 << 64) - 1, 0),
            "NULL, 8192, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0",
        ),
        (x86_64.openat, (AT_FDCWD, 0x10, 0o2, 0), "AT_FDCWD, 0x10, O_RDWR"),
        (x86_64.openat, (5, 0x10, 0o2000101, 0o644), "5, 0x10, O_WRONLY|O_CREAT|O_CLOEXEC, 0644"),
        (x86_64.clone, (0x100 | 17, 0, 0, 0, 0), "CLONE_VM|SIGCHLD, NULL, NULL, NULL, NULL"),
        (x86_64.socket, (1, 0o2000001, 0), "AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0"),
        (x86_64.tgkill, (10, 11, 28), "10, 11, SIGWINCH"),
        (x86_64.close_range, (3, 0xFFFFFFFF, 4), "3, -1, CLOSE_RANGE_CLOEXEC"),
        (x86_64.prctl, (15, 1, 0, 0, 0), "PR_SET_NAME, 0x1, 0x0, 0x0, 0x0"),
        (x86_64.lseek, (3, (1 << 64) - 8, 2), "3, -8, SEEK_END"),
        (9999, (1, 2, 3, 4, 5, 6), "0x1, 0x2, 0x3, 0x4, 0x5, 0x6"),
        (0xFFFFFFFF, (28,), "SIGWINCH"),
    ],
)
def test_arguments_in_words(nr: int, args: tuple[int, ...], shown: str):
    assert ", ".join(names.call_arguments(nr, args)) == shown


def test_a_loaded_argument_is_shown_by_its_address():
    assert names.call_arguments(x86_64.close, (0x7F00,), 1) == ["*0x7f00"]


def test_results():
    assert names.call_result(x86_64.mmap, 0x7F00) == "0x7f00" and names.call_result(x86_64.read, 12) == "12"


WORDS = [
    *[(names.CLONE, "linux/sched.h"), (names.PRCTL, "sys/prctl.h"), (names.ARCH_PRCTL, "asm/prctl.h")],
    *[(names.CLOCK, "time.h"), (names.RLIMIT, "sys/resource.h"), (names.FAMILY, "sys/socket.h")],
    *[(names.SOCKET, "sys/socket.h"), (names.SOCKET_FLAGS, "sys/socket.h"), (names.AT, "fcntl.h")],
]
GLIBC = {"RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE"}  # glibc has them with two underscores


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_words_are_those_of_the_headers(tmp_path: Path):
    checks = []
    for words, header in WORDS:
        for value, word in words.items():
            name = f"__{word}" if word in GLIBC else word
            checks.append((header, f'_Static_assert((unsigned){name} == {value}u, "{word}");'))
    source = tmp_path / "words.c"
    headers = "".join(f"#include <{header}>\n" for header in dict.fromkeys(header for _, header in WORDS))
    source.write_text("#define _GNU_SOURCE\n" + headers + "\n".join(check for _, check in checks))
    found = subprocess.run(["cc", "-fsyntax-only", str(source)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
