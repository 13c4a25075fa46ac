"""A page store in frames: each block of 2 MiB compressed for itself, so that any of them can be read alone.

``frames.bin`` holds them one behind the other, ``frames.json`` says where each is, with the checksum of what is stored.
A block of zeros has no frame, one that does not shrink is stored as it is: both show in the length of the frame.
Nothing in them is trusted: a frame is given out only if its checksum fits and it has the size of its block.
"""

from __future__ import annotations

import os

from replant.errors import ImageError
from replant.image import columns, packing, rawjson, secret, sums, zeros
from replant.image.codec import corrupt
from replant.image.scalars import Reject, Source
from replant.image.sums import BLOCK
from replant.model.frozen import Frozen
from replant.model.invariants import PAGE
from replant.progress import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from replant.image.secret import Secret

    Read = Callable[[int, int], memoryview | bytes]

INDEX, DATA = "frames.json", "frames.bin"
_THREADS = 4


class Frame(Frozen):
    """A block as it is stored: its place and length in ``frames.bin``, the checksum of these bytes."""

    offset: int
    length: int
    sum: str


class Frames(Frozen):
    """``frames.json``: by what the frames are compressed, how large the page store is, and the frame of each block.

    ``cipher`` and ``salt`` (hexadecimal) say how this image is encrypted; both are ``""`` if it is not.
    """

    codec: str
    cipher: str
    salt: str
    size: int
    frames: tuple[Frame, ...]


def render(frames: Frames) -> bytes:
    """The bytes of ``frames.json``."""
    return rawjson.render(frames, repr).encode("ascii")


def parse(data: bytes, stored: int) -> Frames:
    """The index of a file of ``stored`` bytes. :raises ImageError: it contradicts itself or that file."""
    try:
        found: Frames = columns.record(Frames)([rawjson.parse(data.decode("ascii"))], Source(b""))[0]
    except Reject as e:
        raise corrupt(f"{e.where.lstrip('.')} {e.why}", INDEX) from None
    except (ValueError, RecursionError) as e:
        raise corrupt(str(e), INDEX) from None
    if found.codec not in (*packing.CODECS, *([packing.NONE] if found.cipher else [])):
        raise corrupt(f"knows no compression {found.codec!a:.20}", INDEX)
    if found.cipher not in ("", secret.CIPHER) or not _is_salt(found.salt, bool(found.cipher)):
        raise corrupt(f"knows no encryption {found.cipher!a:.20} with the salt {found.salt!a:.50}", INDEX)
    most = BLOCK + (secret.TAG if found.cipher else 0)
    if not 0 <= found.size < 1 << 47 or len(found.frames) != -(-found.size // BLOCK):
        raise corrupt(f"has {len(found.frames)} frames for {found.size} bytes", INDEX)
    for frame in found.frames:
        if not (0 <= frame.length <= most and 0 <= frame.offset <= stored - frame.length):
            raise corrupt(f"has a frame at {frame.offset} + {frame.length}, which is outside of {DATA}", INDEX)
    return found


def _is_salt(text: str, wanted: bool) -> bool:
    return len(text) == 2 * secret.SALT * wanted and all(c in "0123456789abcdef" for c in text)


def pack(source: int, size: int, target: int, codec: str, key: Secret | None = None) -> tuple[Frames, list[int]]:
    """Put the first ``size`` bytes of a file into frames of another, sealed by ``key``, making holes of what is done.

    Returns the index, and the offsets of all pages of zeros.
    :raises ReplantError: the library is missing. :raises OSError: the storage fails.
    """
    work = _Packing(source, size, target, codec, key)
    numbers = iter(range(-(-size // BLOCK)))
    sums.in_threads([lambda: work.run(numbers)] * min(_THREADS, len(os.sched_getaffinity(0))))
    found = tuple(work.frames[n] for n in range(len(work.frames)))
    cipher, salt = (secret.CIPHER, key.salt.hex()) if key else ("", "")
    return Frames(codec, cipher, salt, size, found), work.zeros


class _Packing:
    """The work that several threads share."""

    def __init__(self, source: int, size: int, target: int, codec: str, key: Secret | None) -> None:
        from _thread import allocate_lock

        self.frames: dict[int, Frame] = {}
        self.zeros: list[int] = []
        self._source, self._size, self._target, self._codec = source, size, target, codec
        self._key = key
        self._lock = allocate_lock()
        self._end = 0

    def run(self, numbers: Iterator[int]) -> None:
        memory, packer = memoryview(bytearray(BLOCK)), packing.packer(self._codec)
        while (number := self._next(numbers)) is not None:
            block = sums.read_block(self._source, memory, number, self._size)
            found = zeros.pages(block, number * BLOCK)
            self.zeros += found
            packed = b"" if len(found) * PAGE == len(block) else packer(block)
            data = packed if len(packed) < len(block) else block
            if self._key and data:
                data = self._key.seal(number, data)
            with self._lock:
                at, self._end = self._end, self._end + len(data)
                show("compressing", (len(self.frames) + 1) * BLOCK, self._size)
            self._write(data, at)
            self.frames[number] = Frame(at, len(data), sums.digest(data))
            sums.punch(self._source, number * BLOCK, BLOCK)

    def _next(self, numbers: Iterator[int]) -> int | None:
        with self._lock:
            return next(numbers, None)

    def _write(self, data: bytes | memoryview, at: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._target, memoryview(data)[done:], at + done)


def of_plain(checksums: Sequence[str], size: int) -> Frames:
    """The blocks of a plain page store as frames."""
    lengths = [min(BLOCK, size - at) for at in range(0, size, BLOCK)]
    rows = zip(range(0, size, BLOCK), lengths, checksums, strict=True)
    return Frames(packing.NONE, "", "", size, tuple(Frame(*row) for row in rows))


class FramedStore:
    """A page store in frames. ``read`` gives a part of what is stored, by offset and length; ``fds`` is all it needs.

    :raises ReplantError: a library or the key is missing.
    """

    def __init__(self, frames: Frames, read: Read, fds: Sequence[int] = ()) -> None:
        self.size, self.encrypted = frames.size, bool(frames.cipher)
        self.count = len(frames.frames)
        self._frames, self._read, self._fds = frames, read, [*fds]
        self._unpack = packing.unpacker(frames.codec)
        self._key = secret.Secret(bytes.fromhex(frames.salt)) if frames.cipher else None
        self._plain = -1
        self._there: set[int] = set()

    def fetch(self, number: int, memory: memoryview) -> None:
        """Bring a block into memory, checked. :raises ImageError: it is damaged."""
        frame, size = self._frames.frames[number], min(BLOCK, self.size - number * BLOCK)
        try:
            data = memoryview(self._read(frame.offset, frame.length) if frame.length else b"")
        except OSError as e:
            raise ImageError(f"{DATA} cannot be read: {e}", code="image-unreadable", resource=DATA) from e
        if sums.digest(data) != frame.sum:
            raise _damaged(number, "a checksum does not fit")
        memory[:size] = self._unpacked(number, data, size)

    def _unpacked(self, number: int, data: memoryview, size: int) -> bytes | memoryview:
        if not data:
            return bytes(size)
        if self._key:
            data = memoryview(self._key.open(number, data))
        if len(data) == size:
            return data
        try:
            plain = self._unpack(data, size)
        except Exception as e:  # whatever the library has for it
            raise _damaged(number, str(e)) from e
        if len(plain) != size:
            raise _damaged(number, f"it is {len(plain)} bytes instead of {size}")
        return plain

    def descriptor(self, but: Container[int] = ()) -> int:
        """A file with the plain store, ``but`` some blocks, in memory; what was there once stays.

        :raises ImageError: a block is damaged.
        """
        if self._plain < 0:
            self._plain = os.memfd_create("pages", os.MFD_CLOEXEC)
            os.ftruncate(self._plain, self.size)
        wanted = iter([n for n in range(self.count) if n not in but and n not in self._there])
        sums.in_threads([lambda: self._unfold(wanted)] * min(_THREADS, len(os.sched_getaffinity(0))))
        return self._plain

    def _unfold(self, wanted: Iterator[int]) -> None:
        memory = memoryview(bytearray(BLOCK))
        for number in wanted:
            self.fetch(number, memory)
            size = min(BLOCK, self.size - number * BLOCK)
            if self._frames.frames[number].length:
                os.pwrite(self._plain, memory[:size], number * BLOCK)
            self._there.add(number)

    def opened(self, name: str, data: bytes) -> bytes:
        """The content of another file of the image, which is encrypted if the frames are."""
        return self._key.open(name, data) if self._key else data

    def descriptors(self) -> list[int]:
        """All that `fetch` reads from."""
        return self._fds

    def close(self) -> None:
        """Close what it is read from."""
        for fd in (*self._fds, self._plain):
            if fd >= 0:
                os.close(fd)
        self._fds, self._plain = [], -1


def _damaged(number: int, why: str) -> ImageError:
    return ImageError(
        f"{DATA} is damaged: block {number} of the page store cannot be restored: {why}",
        code="image-corrupt",
        resource=DATA,
        hint="use another copy of the image",
    )
