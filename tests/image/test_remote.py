"""Images behind URLs: any fsspec has, and S3 as a real server speaks it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from live import wait
from live.command import replant, replant_json
from live.compile import compiled
from live.loading import until_loaded
from live.program import Program
from replant.image.remote import absolute, is_url

HEAP = Path(__file__).parents[1] / "lazy" / "heap.c"


def test_urls_are_told_from_paths() -> None:
    assert is_url("s3://bucket/image")
    assert is_url("simplecache+s3://bucket/image")
    for path in ("image", "/a/b", "a:b", "://", "dir/s3://x"):
        assert not is_url(path)
    assert absolute("s3://bucket/image") == "s3://bucket/image"
    assert absolute("image") == f"{os.getcwd()}/image"


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """The URL of a bucket of a server that ends with the block; the environment says where it is."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with open(folder / "server", "wb") as out, subprocess.Popen(argv, stdout=out, stderr=out) as server:
        try:
            wait.until(lambda: listens(port), "the server listens")
            os.environ.update(
                AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
                AWS_ACCESS_KEY_ID="nobody",
                AWS_SECRET_ACCESS_KEY="knows",
                AWS_DEFAULT_REGION="us-east-1",
            )
            make = "import s3fs; s3fs.S3FileSystem().mkdir('bucket')"
            subprocess.run([sys.executable, "-c", make], check=True, timeout=60)
            yield "s3://bucket"
        finally:
            server.send_signal(signal.SIGKILL)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def there_and_back(url: str, tmp_path: Path) -> None:
    folder, staged = tmp_path / "tree", tmp_path / "staged"
    folder.mkdir()
    staged.mkdir()
    os.environ["TMPDIR"] = str(staged)
    with Program.start([str(compiled(HEAP, folder)), "8"], folder) as program:
        program.until_ready()
        for compress in ("none", "zstd"):  # the second one replaces the first
            replant_json("dump", program.root, "-o", url, "--compress", compress)
            assert [n for n in os.listdir(staged) if n.startswith("replant-image")] == []
            verified = replant_json("image", "verify", url)
            assert verified["image"] == url
            assert verified["bytes_checked"] > 8 << 20
        program.kill()
        for words in ((), ("--lazy",)):
            replant_json("restore", url, "--detach", *words)
            program.ask()
            until_loaded(program.root)
            program.kill()


@pytest.mark.isolated
def test_a_tree_in_s3(tmp_path: Path) -> None:
    with s3(tmp_path) as bucket:
        there_and_back(f"{bucket}/trees/one", tmp_path)
        done = replant("restore", f"{bucket}/none", "--detach")
        assert done.returncode == 1
        assert "is no image: it has no manifest.json" in done.stderr


@pytest.mark.isolated
def test_a_tree_behind_another_scheme(tmp_path: Path) -> None:
    there_and_back(f"file://{tmp_path}/image", tmp_path)


@pytest.mark.isolated
def test_what_is_no_image_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one").write_text("dear")
    with Program.start(["sleep", "1000"], tmp_path) as program:
        done = replant("dump", program.root, "-o", f"file://{tmp_path}/letters", "--kill")
        assert done.returncode == 1
        assert "is no image of replant" in done.stderr
        assert os.path.exists(f"/proc/{program.root}")
        done = replant("dump", program.root, "-o", "s3://127.0.0.1.invalid/x", "--kill")
        assert done.returncode == 1
        assert os.path.exists(f"/proc/{program.root}")


CONNECTS = """
import os, sys, threading
from replant.image.remote import Remote
there = Remote("s3://bucket/image")
there._at()
for _ in range(20):
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    sys.setswitchinterval(1e-6)
    together, found = threading.Barrier(8), []
    def connect():
        together.wait()
        found.append(there._at()[0])
    threads = [threading.Thread(target=connect) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    os._exit(any(one is not found[0] or one.loop is None for one in found))
"""


def test_threads_of_a_fork_connect_once() -> None:
    pytest.importorskip("s3fs")
    subprocess.run([sys.executable, "-c", CONNECTS], check=True, timeout=60)
