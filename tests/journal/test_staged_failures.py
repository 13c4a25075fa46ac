"""Runs that really fail: what is printed, and ``replant log --why`` of the journal kept, name the true cause."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live.command import command, replant, replant_json
from live.program import Program

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(60)]
CAP_NET_RAW, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE = 13, 19, 21, 40
PR_CAPBSET_DROP, PTRACE_SEIZE = 24, 0x4206
KEEP = "import os, signal\n"
READY = "\nopen('ready', 'w').write('1')\nwhile True: signal.pause()"
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def folder_of_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "journals").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "journals"))


def start(folder: Path, code: str = "") -> Program:
    """A Python program that has run ``code`` and waits."""
    program = Program.start([sys.executable, "-c", KEEP + code + READY], folder)
    program.until_ready()
    return program


def uprooted(folder: Path, code: str = "") -> tuple[Program, Path]:
    program = start(folder, code)
    image = folder / "image"
    replant_json("dump", program.root, "-o", image, "--kill")
    program.reap()
    return program, image


def fails(*words: object, prepare: Callable[[], None] | None = None) -> str:
    """What a run that fails prints: five lines and a line or two for each blocker; the journal explains the same."""
    done = subprocess.run(
        command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=prepare,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    (path,) = re.findall(r"the rest: replant log (\S+) --level debug\n", done.stderr)
    assert os.stat(path).st_mode & 0o077 == os.stat(os.path.dirname(path)).st_mode & 0o077 == 0
    explained = replant("log", path, "--why")
    assert explained.returncode == 0, explained.stderr
    lines = explained.stdout.splitlines()
    assert len(lines) <= 10 and lines[0].startswith("failed: "), lines
    told = done.stderr.splitlines()[0].removeprefix("replant: ")
    assert told.startswith(lines[0].removeprefix("failed: ").rpartition(" [")[0]), (told, lines[0])
    assert len([line for line in done.stderr.splitlines() if not line.startswith(("  - ", "    try: "))]) <= 5
    return explained.stdout


def names(text: str, *words: str) -> None:
    for word in words:
        assert re.search(word, text), f"{word!r} is not in\n{text}"


def dump_fails(program: Program, folder: Path, *words: object, prepare: Callable[[], None] | None = None) -> str:
    """It does, and the program runs on."""
    text = fails("dump", program.root, "-o", folder / "image", *words, prepare=prepare)
    assert not (folder / "image").exists()
    os.kill(program.root, 0)
    return text


def without(*capabilities: int) -> Callable[[], None]:
    """Root loses capabilities for good."""

    def drop() -> None:
        for each in capabilities:
            assert libc.prctl(PR_CAPBSET_DROP, each, 0, 0, 0) == 0

    return drop


# dumps


def test_a_right_is_missing(tmp_path: Path) -> None:
    with start(tmp_path) as program:  # who has more rights cannot be traced
        text = dump_fails(program, tmp_path, prepare=without(CAP_SYS_PTRACE, CAP_NET_RAW))
        names(text, f"because .*task {program.root}", "CAP_SYS_PTRACE", "during freeze", "try: ")


def test_a_task_is_traced_by_somebody_else(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        assert libc.ptrace(PTRACE_SEIZE, program.root, 0, 0) == 0
        names(dump_fails(program, tmp_path), "because .*traced", f"tracer {os.getpid()}|{os.getpid()}")


def test_an_io_uring(tmp_path: Path) -> None:
    with start(
        tmp_path, "import ctypes\nfd = ctypes.CDLL(None).syscall(425, 4, bytes(9) + b'\\x10' + bytes(110))"
    ) as p:
        if not any("io_uring" in os.readlink(f"/proc/{p.root}/fd/{fd}") for fd in os.listdir(f"/proc/{p.root}/fd")):
            pytest.skip("no io_uring here")
        names(dump_fails(p, tmp_path), r"because .*io_uring", r"fd \d+", "try: ")


def test_a_connection_that_nobody_has_accepted(tmp_path: Path) -> None:
    lines = ("import socket", "server = socket.create_server(('127.0.0.1', 0))", "port = server.getsockname()")
    with start(tmp_path, "\n".join((*lines, "client = socket.create_connection(port)"))) as program:
        names(dump_fails(program, tmp_path), "because .*wait to be accepted", r"fd \d+", "during look")


def test_an_unlinked_file_that_is_too_large(tmp_path: Path) -> None:
    with start(tmp_path, "f = open('f', 'wb')\nf.write(bytes(9000))\nf.flush()\nos.unlink('f')") as program:
        text = dump_fails(program, tmp_path, "--unlinked-limit", "4096")
        names(text, "because .*/f\\b", "unlinked-limit|bytes")


def test_a_pipe_that_leads_out(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    process = subprocess.Popen(
        [sys.executable, "-c", KEEP + READY], cwd=tmp_path, pass_fds=[writing], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    process.returncode = 0
    with Program(tmp_path, process.pid) as program:
        program.until_ready()
        names(dump_fails(program, tmp_path), "because .*pipe:.* outside", "try: .*--outside")
    os.close(reading)


def test_a_supervised_seccomp_filter(tmp_path: Path) -> None:
    code = """
import ctypes
class Filter(ctypes.Structure): _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_char_p)]
allow_or_ask = b"\\x06\\0\\0\\0\\0\\0\\xff\\x7f\\x06\\0\\0\\0\\0\\0\\xc0\\x7f"
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Filter(2, allow_or_ask)), 0, 0) == 0"""
    with start(tmp_path, code) as program:
        names(dump_fails(program, tmp_path), f"because .*task {program.root} .*seccomp", "during look")


def test_no_such_task(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        gone = program.root
    names(fails("dump", gone, "-o", tmp_path / "image"), f"task {gone} ended", "during freeze", "try: ")


@pytest.mark.parametrize("phase", ["observe", "pages"])
def test_a_task_dies_meanwhile(tmp_path: Path, phase: str) -> None:
    """Killed by a process that reads the journal while it is written."""
    with start(tmp_path, "memory = os.urandom(64 << 20)") as program:
        watch = f"""
import glob, os, signal
while not any(b"{phase}" in open(path, "rb").read() for path in glob.glob("{tmp_path}/image.partial-*/journal")): pass
os.kill({program.root}, signal.SIGKILL)"""
        killer = subprocess.Popen([sys.executable, "-c", watch])
        text = fails("dump", program.root, "-o", tmp_path / "image")
        assert killer.wait() == 0
        names(text, f"task {program.root} (ended|is gone)", f"about task {program.root}", "during ")


def test_the_dump_is_in_the_tree_itself(tmp_path: Path) -> None:
    names(fails("dump", os.getpid(), "-o", tmp_path / "image"), "because replant itself is in the tree", "outside")


def test_the_disk_is_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    assert libc.mount(b"none", os.fsencode(small), b"tmpfs", 0, b"size=1m") == 0
    with start(tmp_path, "memory = os.urandom(4 << 20)") as program:
        text = fails("dump", program.root, "-o", small / "image")
        names(text, "No space left|no-space", "during pages|during write", "try: free")
        assert os.listdir(small) == []


# restores


def restore_fails(image: Path, *words: object, prepare: Callable[[], None] | None = None) -> str:
    return fails("restore", image, "--detach", *words, prepare=prepare)


def test_the_pid_is_taken(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        replant_json("dump", program.root, "-o", tmp_path / "image")
        names(restore_fails(tmp_path / "image"), f"because the pid {program.root} is taken", "during check")


READER = "import os\nfile = open('data')"


def changes() -> Iterator[tuple[str, Callable[[Path], object], str]]:
    yield "gone", lambda path: path.unlink(), "/data"
    yield "longer", lambda path: path.write_text("much longer"), "/data.*(size|bytes|changed)"
    yield "a directory", lambda path: (path.unlink(), path.mkdir()), "/data"


@pytest.mark.parametrize(("change", "words"), [c[1:] for c in changes()], ids=[c[0] for c in changes()])
def test_a_file_is_not_what_it_was(tmp_path: Path, change: Callable[[Path], object], words: str) -> None:
    (tmp_path / "data").write_text("data")
    _, image = uprooted(tmp_path, READER)
    change(tmp_path / "data")
    names(restore_fails(image), f"because .*({words})", "during check", "try: ")


def test_the_image_is_truncated(tmp_path: Path) -> None:
    _, image = uprooted(tmp_path)
    os.truncate(image / "pages.bin", 4096)
    names(restore_fails(image), r"pages.bin has 4096 bytes instead of \d+", "image-truncated", "during open")


def test_a_byte_of_the_image_has_changed(tmp_path: Path) -> None:
    _, image = uprooted(tmp_path)
    with (image / "pages.bin").open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([byte ^ 1]))
    names(restore_fails(image), "pages.bin", "image-corrupt", "during restore")


def test_the_image_is_of_a_newer_version(tmp_path: Path) -> None:
    _, image = uprooted(tmp_path)
    manifest = image / "manifest.json"
    document = json.loads(manifest.read_text())
    text = manifest.read_text().replace(f'"format":{document["format"]}', f'"format":{document["format"] + 1}')
    if text == manifest.read_text():
        text = manifest.read_text().replace(f'"format": {document["format"]}', f'"format": {document["format"] + 1}')
    manifest.write_text(text)
    names(restore_fails(image), "image-version", "newer|version")


def test_no_image_at_all(tmp_path: Path) -> None:
    names(restore_fails(tmp_path), "is no image", "came from FileNotFoundError", "ENOENT")


def test_pids_may_not_be_chosen(tmp_path: Path) -> None:
    _, image = uprooted(tmp_path)
    text = restore_fails(image, prepare=without(CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN))
    names(text, "because .*cannot be given: .*CAP_CHECKPOINT_RESTORE", "during check", "try: .*capabilities")


def test_descriptors_run_out(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (230, 230))\n"
    _, image = uprooted(tmp_path, limit + "files = [open(os.devnull) for _ in range(200)]")
    text = restore_fails(image, prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (230, 230)))
    names(text, r"the tree has \d+ descriptors, and \d+ more are needed", "the limit is 230", "try: .*ulimit")


def test_a_task_of_the_restore_is_killed_from_outside(tmp_path: Path) -> None:
    """By a process that waits for its number to be given."""
    program, image = uprooted(tmp_path, "memory = os.urandom(64 << 20)")
    watch = f"""
import os, signal
while True:
    try: os.kill({program.root}, signal.SIGKILL)
    except ProcessLookupError: continue
    break"""
    killer = subprocess.Popen([sys.executable, "-S", "-c", watch])
    text = restore_fails(image)
    killer.wait()
    names(text, f"task {program.root} ", "in the middle of the restore|gone|No such process", "during ")


# what is kept where


def test_a_success_leaves_no_journal_and_one_that_was_wanted(tmp_path: Path) -> None:
    program = start(tmp_path)
    image, wanted = tmp_path / "image", tmp_path / "wanted"
    replant_json("dump", program.root, "-o", image, "--kill", "--journal", wanted)
    program.reap()
    assert wanted.read_bytes() == (image / "journal").read_bytes()
    assert "nothing failed" in replant("log", image, "--why").stdout
    replant_json("restore", image, "--detach", "--journal", tmp_path / "restored")
    names(replant("log", tmp_path / "restored").stdout, "phase.end: fill", "phase.end: land", "phase.end: verify")
    names(replant("log", tmp_path / "restored", "--call", "mmap").stdout, r"#\d+ mmap\(")
    program.kill()
    replant_json("restore", image, "--detach")
    program.kill()
    assert os.listdir(tmp_path / "journals") == []
    done = replant("restore", image, "--detach", "--journal", wanted)
    assert done.returncode == 1 and "File exists" in done.stderr


@pytest.mark.parametrize("trap", ["link", "open"])
def test_a_directory_that_others_have_prepared_is_not_used(tmp_path: Path, trap: str) -> None:
    _, image = uprooted(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copytree(image, tmp_path / "broken")
    (tmp_path / "broken/pages.bin").write_bytes(b"")
    folder = tmp_path / "journals" / f"replant-{os.geteuid()}"
    if trap == "link":
        folder.symlink_to(theirs)
    else:
        folder.mkdir()
        folder.chmod(0o777)
    names(restore_fails(tmp_path / "broken"), "image-truncated")
    assert os.listdir(theirs) == [] and (trap == "link" or os.listdir(folder) == [])


def test_a_killed_restore_is_told_by_its_last_step(tmp_path: Path) -> None:
    _, image = uprooted(tmp_path, "memory = os.urandom(64 << 20)")
    process = subprocess.Popen(command("restore", image, "--detach"), stdout=subprocess.DEVNULL)
    journals = tmp_path / "journals" / f"replant-{os.geteuid()}"
    while not (journals.exists() and any(b"check" in each.read_bytes() for each in journals.iterdir())):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    (path,) = journals.iterdir()
    names(replant("log", path, "--why").stdout, "was killed", "during |the last that is known")
