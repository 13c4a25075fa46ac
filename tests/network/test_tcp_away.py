"""A tree with connections is away, closed, given up, or its dump is killed: what its peers see, and what is left."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from live import wait
from live.command import command, replant, replant_json
from live.program import Program
from replant.resources.shared.packet_lock import Lock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import scenes  # noqa: E402
from stream import Stream  # noqa: E402

pytestmark = pytest.mark.isolated


class Peer:
    """The other end of `stream.py`, in a thread of the test."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.stream: Stream | None = None
        self.ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        sock, _ = self.listener.accept()
        self.stream = Stream(sock)
        while self.stream.step(0.05):
            pass
        self.ended.set()

    def goes_on(self) -> None:
        """Wait until both ends have got more, and found it right."""
        assert self.stream
        before = self.stream.sent, self.stream.received
        wait.until(lambda: self.stream.wrong or self._more(*before), "it goes on")
        assert not self.stream.wrong

    def _more(self, sent: int, received: int) -> bool:
        assert self.stream
        return self.stream.sent > sent and self.stream.received > received


@contextmanager
def streaming(folder: Path) -> Iterator[tuple[Program, Peer]]:
    folder.mkdir()
    peer = Peer()
    port = str(peer.listener.getsockname()[1])
    with Program.start([sys.executable, str(HERE / "stream.py"), "127.0.0.1", port], folder) as program:
        program.until_ready()
        program.ask()
        peer.goes_on()
        yield program, peer


def locks() -> list[str]:
    lock = Lock()
    try:
        return [table.name for table in lock.tables()]
    finally:
        lock.close()


def test_nobody_is_told_while_it_is_away(tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, peer):
        for turn in range(2):
            image = tmp_path / f"image{turn}"
            report = replant_json("dump", program.root, "-o", image, "--kill")
            assert report["notes"] == [
                "1 TCP connection kept, 1 to peers outside of the tree, whose packets are held off while it is away"
            ]
            program.reap()
            (found,) = replant_json("cleanup")["found"]
            assert (found["state"], found["image"]) == ("away", str(image))
            assert replant_json("cleanup", "--remove") == {"removed": []}
            assert not peer.ended.wait(0.3), "the peer has learnt of it"
            replant_json("restore", image, "--detach")
            assert locks() == []
            program.ask()
            peer.goes_on()


def test_an_image_that_is_deleted_leaves_what_cleanup_takes_away(tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, peer):
        replant_json("dump", program.root, "-o", tmp_path / "image", "--kill")
        program.reap()
        shutil.rmtree(tmp_path / "image")
        (found,) = replant_json("cleanup")["found"]
        assert found["state"] == "left over"
        assert not peer.ended.is_set()
        assert [gone["name"] for gone in replant_json("cleanup", "--remove")["removed"]] == [found["name"]]
        assert locks() == []
        assert peer.ended.wait(scenes.LIMIT), "the peer never learns of it"


def test_a_tree_can_be_given_up_by_name(tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, peer):
        replant_json("dump", program.root, "-o", tmp_path / "image", "--kill")
        program.reap()
        (name,) = locks()
        assert replant("cleanup", "--remove", "replant-none").returncode == 2
        assert len(replant_json("cleanup", "--remove", name)["removed"]) == 1
        assert peer.ended.wait(scenes.LIMIT)


def test_a_connection_that_somebody_has_is_not_made_again(tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, _):
        replant_json("dump", program.root, "-o", tmp_path / "image")
        codes = {b["code"] for b in replant_json("restore", tmp_path / "image", expect=1)["blockers"]}
        assert codes == {"pid-taken", "address-in-use"}
        program.ask()


@pytest.mark.parametrize("at", ["dump", "restore"])
def test_connections_come_back_closed(at: str, tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, peer):
        words = {"dump": ["--kill"], "restore": ["--detach"]}
        words[at].append("--tcp-close")
        replant_json("dump", program.root, "-o", tmp_path / "image", *words["dump"])
        program.reap()
        replant_json("restore", tmp_path / "image", *words["restore"])
        assert locks() == []
        with pytest.raises(AssertionError, match=r"the peer has closed|Broken pipe"):
            program.ask()
        assert peer.ended.wait(scenes.LIMIT), "the peer never learns of it"


def test_a_killed_dump_harms_no_connection(tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, peer):
        moment, image, killed = random.Random(3), tmp_path / "image", 0
        for words, kills in ((), 6), (("--kill",), 5):
            longest = _lasts(command("check", program.root)) * 1.3
            for _ in range(kills):
                shutil.rmtree(image, ignore_errors=True)
                killed += _killed(command("dump", program.root, "-o", image, *words), moment.uniform(0.3, 1) * longest)
                _make_alive(program, image)
                program.ask()
                peer.goes_on()
        assert killed and locks() == []


def _make_alive(program: Program, image: Path) -> None:
    """Whatever moment it was: the tree runs, or its image is there."""
    if _dies(program.root):
        program.reap()
        replant_json("restore", image, "--detach")
    else:
        replant_json("cleanup", "--remove")


def _dies(pid: int) -> bool:
    """Whether a process has ended, or is about to. Whoever lives sleeps, or comes to use time of its own."""
    used = _user_time(pid)
    wait.until(lambda: _ends(pid) or _asleep(pid) or _user_time(pid) > used, "it lives, or is dead")
    return _ends(pid)


def _ends(pid: int) -> bool:
    """It is a zombie or gone, on its way out (PF_EXITING), or has a SIGKILL pending."""
    stat, kill = _stat(pid), 1 << (signal.SIGKILL - 1)
    if not stat or stat[0] in "ZX" or int(stat[6]) & 4:
        return True
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return any(int(line.split()[1], 16) & kill for line in lines if line.startswith(("SigPnd", "ShdPnd")))


def _asleep(pid: int) -> bool:
    return _stat(pid)[:1] == ["S"]


def _user_time(pid: int) -> int:
    return int((_stat(pid) or ["0"] * 12)[11])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def test_a_killed_restore_can_be_done_again(tmp_path: Path) -> None:
    with streaming(tmp_path / "tree") as (program, peer):
        image, moment = tmp_path / "image", random.Random(4)
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        words = command("restore", image, "--detach")
        for _ in range(6):
            _killed(words, moment.uniform(0.03, 0.12))
            wait.until(lambda: not _workers(), "no worker is left")
            if not _dies(program.root):
                break
        else:
            replant_json("restore", image, "--detach")
        program.ask()
        peer.goes_on()
        assert locks() == []


def _workers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"restore" in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _killed(words: list[str], seconds: float) -> bool:
    """Run a command and kill it after a time; whether it had not ended before."""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
    return child.wait() < 0


def _lasts(words: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    return time.monotonic() - began
