"""Page stores in frames: every block comes back, and nothing damaged or lying is given out."""

from __future__ import annotations

import builtins
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replant.errors import ImageError, ReplantError
from replant.image import packing, sums
from replant.image.frames import Frame, FramedStore, Frames, pack, parse, render
from replant.image.sums import BLOCK, digest

#: text, zeros, noise, and a block that is not whole
CONTENT = (b"replant " * (BLOCK // 8)) + bytes(BLOCK) + os.urandom(BLOCK) + b"the end" * 100

every_codec = pytest.mark.parametrize("codec", packing.CODECS)


def packed(folder: Path, codec: str) -> tuple[Frames, int]:
    """The content in frames, and the descriptor of the file that has them; the plain file has become a hole."""
    plain = os.open(folder / "plain", os.O_RDWR | os.O_CREAT)
    os.write(plain, CONTENT)
    stored = os.open(folder / "stored", os.O_RDWR | os.O_CREAT)
    frames, zeros = pack(plain, len(CONTENT), stored, codec)
    assert sorted(zeros) == list(range(BLOCK, 2 * BLOCK, 4096))
    assert os.fstat(plain).st_blocks * 512 < BLOCK
    os.close(plain)
    return frames, stored


def fetched(store: FramedStore) -> bytes:
    memory = memoryview(bytearray(BLOCK))
    parts = []
    for number in range(store.count):
        store.fetch(number, memory)
        parts.append(bytes(memory[: min(BLOCK, store.size - number * BLOCK)]))
    return b"".join(parts)


@every_codec
def test_every_block_comes_back(codec: str, tmp_path: Path) -> None:
    frames, stored = packed(tmp_path, codec)
    size = os.fstat(stored).st_size
    assert size < 1.1 * BLOCK  # the noise
    assert [f.length for f in frames.frames][1:3] == [0, BLOCK]
    store = FramedStore(parse(render(frames), size), partial(sums.read_part, stored), [stored])
    assert fetched(store) == CONTENT
    assert os.pread(store.descriptor(), len(CONTENT) + 1, 0) == CONTENT
    store.close()


def test_only_what_is_wanted_is_unfolded(tmp_path: Path) -> None:
    frames, stored = packed(tmp_path, "lz4")
    store = FramedStore(frames, partial(sums.read_part, stored), [stored])
    fd = store.descriptor(but={0, 2})
    assert os.pread(fd, 3 * BLOCK, 0) == bytes(3 * BLOCK)
    assert os.pread(fd, BLOCK, 3 * BLOCK) == CONTENT[3 * BLOCK :]
    assert os.pread(store.descriptor(), BLOCK, 0) == CONTENT[:BLOCK]
    store.close()


@every_codec
def test_a_flipped_bit_is_noticed(codec: str, tmp_path: Path) -> None:
    frames, stored = packed(tmp_path, codec)
    for number in (0, 2, 3):
        at = frames.frames[number].offset + frames.frames[number].length // 2
        byte = os.pread(stored, 1, at)[0]
        os.pwrite(stored, bytes([byte ^ 16]), at)
        with pytest.raises(ImageError, match=f"block {number} .*checksum"):
            FramedStore(frames, partial(sums.read_part, stored), [stored]).fetch(number, memoryview(bytearray(BLOCK)))
    os.close(stored)


@every_codec
def test_a_frame_that_lies_is_refused(codec: str, tmp_path: Path) -> None:
    """With a checksum that fits: it is another block's, it is longer than the block, it is none at all."""
    pack_one = packing.packer(codec)
    for content in (pack_one(memoryview(bytes(5 * BLOCK))), pack_one(memoryview(b"short")), b"\x01 none at all"):
        path = tmp_path / "lie"
        path.write_bytes(content)
        stored = os.open(path, os.O_RDONLY)
        frames = Frames(codec, "", "", BLOCK, (Frame(0, len(content), digest(content)),))
        with pytest.raises(ImageError, match="cannot be restored"):
            FramedStore(frames, partial(sums.read_part, stored), [stored]).fetch(0, memoryview(bytearray(BLOCK)))
        os.close(stored)


@pytest.mark.parametrize(
    "frames",
    [
        Frames("rot13", "", "", BLOCK, (Frame(0, 5, "x"),)),
        Frames("lz4", "", "", BLOCK, ()),
        Frames("none", "", "", BLOCK, (Frame(0, 5, "x"),)),
        Frames("lz4", "rot13", "", BLOCK, (Frame(0, 5, "x"),)),
        Frames("lz4", "aes-256-gcm", "12", BLOCK, (Frame(0, 5, "x"),)),
        Frames("lz4", "", "", -5, ()),
        Frames("lz4", "", "", BLOCK, (Frame(90, 20, "x"),)),
        Frames("lz4", "", "", BLOCK, (Frame(-1, 20, "x"),)),
        Frames("lz4", "", "", BLOCK, (Frame(0, BLOCK + 1, "x"),)),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(frames: Frames) -> None:
    with pytest.raises(ImageError):
        parse(render(frames), 100)


@every_codec
def test_a_missing_library_is_told_before_anything_is_done(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name in ("zstandard", "lz4.block"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReplantError, match="not installed") as error:
        packing.packer(codec)
    assert "replant[compress]" in error.value.hint
