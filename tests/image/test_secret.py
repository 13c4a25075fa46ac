"""Encrypted images: they come back with the key they were made with and no other; nothing plain is in them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from image.test_frames import CONTENT, fetched
from live.command import replant, replant_json
from live.compile import compiled
from live.loading import until_loaded
from live.program import Program
from replant.errors import ImageError, ReplantError
from replant.image import sums
from replant.image.frames import FramedStore, pack, parse, render
from replant.image.secret import Secret
from replant.image.sums import BLOCK

HEAP = Path(__file__).parents[1] / "lazy" / "heap.c"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLANT_KEY", "a key that has more than 16 bytes")


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_frames_come_back(codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, stored = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("plain", "stored"))
    os.write(plain, CONTENT)
    frames, _ = pack(plain, len(CONTENT), stored, codec, Secret.fresh())
    size = os.fstat(stored).st_size
    sealed = os.pread(stored, size, 0)
    assert b"replant replant" not in sealed
    assert CONTENT[2 * BLOCK : 2 * BLOCK + 64] not in sealed
    assert fetched(FramedStore(parse(render(frames), size), partial(sums.read_part, stored), [stored])) == CONTENT
    monkeypatch.setenv("REPLANT_KEY", "another key, which is as long")
    with pytest.raises(ImageError, match="another key") as error:
        FramedStore(frames, partial(sums.read_part, stored), [stored]).fetch(0, memoryview(bytearray(BLOCK)))
    assert error.value.code == "image-key"


def test_a_part_in_the_place_of_another_is_noticed() -> None:
    secret = Secret.fresh()
    assert secret.open(3, secret.seal(3, b"content")) == b"content"
    for other in (4, "model.json"):
        with pytest.raises(ImageError):
            secret.open(other, secret.seal(3, b"content"))
    with pytest.raises(ImageError):
        secret.open(3, Secret.fresh().seal(3, b"content"))


def test_a_key_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLANT_KEY", "short")
    with pytest.raises(ReplantError, match="has 5 bytes"):
        Secret.fresh()
    monkeypatch.setenv("REPLANT_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ReplantError, match="cannot be read"):
        Secret.fresh()
    monkeypatch.delenv("REPLANT_KEY_FILE")
    monkeypatch.delenv("REPLANT_KEY")
    with pytest.raises(ReplantError, match="no key"):
        Secret.fresh()


@pytest.mark.isolated
def test_a_tree_comes_back_from_an_encrypted_image(tmp_path: Path) -> None:
    os.environ.pop("REPLANT_KEY", None)
    folder, image, key_file = tmp_path / "tree", tmp_path / "image", tmp_path / "key"
    folder.mkdir()
    key_file.write_bytes(os.urandom(32))
    with Program.start([str(compiled(HEAP, folder)), "8"], folder) as program:
        program.until_ready()
        replant_json(
            "dump", program.root, "-o", image, "--kill", "--encrypt", "--compress", "lz4", "--key-file", key_file
        )
        program.reap()
        assert sorted(os.listdir(image)) == ["blobs.bin", "frames.bin", "frames.json", "manifest.json", "model.json"]
        assert not any(str(folder).encode() in file.read_bytes() for file in image.iterdir())
        refused = replant("restore", image, "--detach")
        assert refused.returncode == 1
        assert "there is no key" in refused.stderr
        for words in ((), ("--lazy", "--working-set", "null")):
            replant_json("restore", image, "--detach", "--key-file", key_file, *words)
            program.ask()
            until_loaded(program.root)
            program.kill()
        os.environ["REPLANT_KEY_FILE"] = str(key_file)
        replant_json("image", "verify", image)
        assert replant_json("show", image)
