"""Programs with TCP connections that stay open while they are uprooted and replanted; most peers are outside."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from live import wait
from live.cases import listening, needs, self_checking
from live.program import Program, tree
from live.roundtrip import roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


def test_redis_under_its_benchmark(folder: Path) -> None:
    """Ten clients set and get all the time; none gets an error."""
    words = ["--port", "7011", "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with Program.start([needs("redis-server"), *words], folder) as program:
        listening(program, 7011)
        load = [needs("redis-benchmark"), "-p", "7011", "-c", "10", "-l", "-q", "-t", "set,get"]
        with subprocess.Popen(load, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as benchmark:
            try:
                served = 0
                for _ in range(2):
                    served = more(served, lambda: commands(program), 1000)
                    roundtrip(program, lambda: None, times=1, moving=("tcp", "mm", "anon", "mapping"))
                more(served, lambda: commands(program), 1000)
                assert benchmark.poll() is None, benchmark.stdout
            finally:
                benchmark.kill()
                said = benchmark.stdout.read() if benchmark.stdout else ""
        assert "rror" not in said, said


def more(than: int, count: Callable[[], int], by: int) -> int:
    """Wait until a count that goes up has gone up so much; what it is then."""
    wait.until(lambda: count() > than + by, f"a count goes on from {than}")
    return count()


def commands(program: Program) -> int:
    """How many commands the server has processed, by its own count."""
    with socket.create_connection(("127.0.0.1", 7011), timeout=60) as s:
        s.sendall(b"INFO stats\r\nQUIT\r\n")
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    return int(answer.partition(b"total_commands_processed:")[2].split()[0])


def test_a_download_goes_on(folder: Path) -> None:
    """nginx serves a file of 60 MB at a limited rate over one connection; not a byte is lost or doubled."""
    content = os.urandom(1 << 20) * 60
    (folder / "film").write_bytes(content)
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
        "events { worker_connections 64; }\n"
        f"http {{ access_log off; limit_rate 12m;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f"server {{ listen 127.0.0.1:7012; root {folder}; }} }}\n"
    )
    words = ["-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with Program.start([needs("nginx"), *words], folder) as program:
        listening(program, 7012)
        with socket.create_connection(("127.0.0.1", 7012), timeout=60) as s:
            s.sendall(b"GET /film HTTP/1.0\r\n\r\n")
            got: list[bytes] = []
            reader = threading.Thread(target=lambda: got.extend(iter(lambda: s.recv(1 << 18), b"")))
            reader.start()
            size = 0
            for _ in range(2):
                size = more(size, lambda: sum(map(len, got)), 1_000_000)
                roundtrip(program, lambda: None, times=1, moving=("tcp", "eventpoll", "regular"))
                assert reader.is_alive(), "it was over before the restore"
            reader.join(60)
        body = b"".join(got).partition(b"\r\n\r\n")[2]
        assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest(), len(body)


class WebSocket:
    """A client of RFC 6455, for short texts."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ("GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}")
        self.socket.sendall("\r\n".join([*lines, "Sec-WebSocket-Version: 13", "", ""]).encode())
        self.file = self.socket.makefile("rb")
        while self.file.readline().strip():
            pass

    def say(self, text: str) -> str:
        data, mask = text.encode(), os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(struct.pack("BB", 0x81, 0x80 | len(data)) + mask + masked)
        length = self.file.read(2)[1]
        return self.file.read(length).decode()


def test_websockets_stay_open(folder: Path) -> None:
    with Program.start([needs("node"), str(HERE / "websocket_server.js")], folder) as program:
        listening(program, 8082)
        clients = [WebSocket(8082) for _ in range(5)]
        count = 0

        def check() -> None:
            nonlocal count
            for n, client in enumerate(clients):
                count += 1
                assert client.say(f"hello {n}") == f"{count} hello {n}"

        check()
        roundtrip(program, check, times=2, moving=("anon", "mapping", "mm"))


def test_a_jupyter_kernel_and_its_client(folder: Path) -> None:
    program, check = self_checking([sys.executable, str(HERE / "jupyter_session.py")], folder)
    with program:
        roundtrip(program, check, times=2, moving=("anon", "mapping", "mm", "eventfd", "tcp"))


def test_a_session_of_sshd(folder: Path) -> None:
    """A shell at the other end of ssh keeps its variables, and the connection its keys."""
    sshd, ssh = needs("sshd"), needs("ssh")
    for name in ("host", "user"):
        subprocess.run([needs("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "user.pub").rename(folder / "authorized")
    (folder / "known").write_text("[127.0.0.1]:7013 " + (folder / "host.pub").read_text())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "replant", "/run"], check=True)
    Path("/run/sshd").mkdir()
    options = {
        "Port": 7013, "ListenAddress": "127.0.0.1", "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized", "StrictModes": "no", "UsePAM": "no",
        "PidFile": "none", "PermitRootLogin": "yes",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    choices = {"UserKnownHostsFile": folder / "known", "IdentityFile": folder / "user", "BatchMode": "yes"}
    client = ["-F", "none", *[word for name, value in choices.items() for word in ("-o", f"{name}={value}")]]
    with Program.start([sshd, "-D", "-e", "-f", "/dev/null", *words], folder) as program:
        listening(program, 7013)
        argv = [ssh, "-E", str(folder / "client"), *client, "-p", "7013", "root@127.0.0.1", "bash"]
        with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True, bufsize=1) as session:
            turn = 0

            def check() -> None:
                nonlocal turn
                turn += 1
                assert session.stdin and session.stdout
                print("turn=$((turn + 1)); echo turn $turn", file=session.stdin, flush=True)
                assert session.stdout.readline() == f"turn {turn}\n", (folder / "client").read_text() + program.output()

            check()
            assert len(tree(program.root)) >= 3
            roundtrip(program, check, times=2, moving=("tcp",))
            session.communicate()
            assert session.wait(30) == 0
