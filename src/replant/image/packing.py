"""The libraries that compress blocks; each is an extra, and imported where it is used."""

from __future__ import annotations

from replant.errors import ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Pack = Callable[[memoryview], bytes]
    Unpack = Callable[[memoryview, int], bytes]

NONE = "none"
CODECS = ("lz4", "zstd")
_LEVEL = 1  # of zstd: heaps shrink little more at higher ones


def packer(codec: str) -> Pack:
    """What compresses a block; it may be used by one thread only. :raises ReplantError: the library is missing."""
    if codec == "zstd":
        compress: Pack = _zstd().ZstdCompressor(level=_LEVEL).compress
        return compress
    if codec == "lz4":
        block = _lz4()
        return lambda data: bytes(block.compress(data, store_size=False))
    return bytes


def unpacker(codec: str) -> Unpack:
    """What makes a block of so many bytes out of its compressed form; it may be used by one thread only.

    It raises any exception of the library, or ValueError, for what is no such form; never does it take more memory.
    :raises ReplantError: the library is missing.
    """
    if codec == "zstd":
        return _unpack_zstd
    if codec == "lz4":
        block = _lz4()
        return lambda data, size: bytes(block.decompress(data, uncompressed_size=size))
    return lambda data, size: bytes(data)


def _unpack_zstd(data: memoryview, size: int) -> bytes:
    library = _zstd()
    if library.frame_content_size(data) != size:  # as the frame says; what it says is what would be allocated
        raise ValueError("it has another size")
    plain: bytes = library.ZstdDecompressor().decompress(data)
    return plain


def _zstd() -> Any:
    try:
        import zstandard
    except ImportError as e:
        raise _missing("zstandard") from e
    return zstandard


def _lz4() -> Any:
    try:
        import lz4.block
    except ImportError as e:
        raise _missing("lz4") from e
    return lz4.block


def _missing(library: str) -> ReplantError:
    return ReplantError(
        f"the library {library} is not installed",
        code="no-library",
        resource=library,
        hint="install it: pip install 'replant[compress]'",
    )
