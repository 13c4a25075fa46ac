"""Encrypted images: AES-256-GCM by the library ``cryptography``, with a key of the image that comes from the user's.

The user's key is the content of a file (``$REPLANT_KEY_FILE``) or of a variable (``$REPLANT_KEY``), never a word of a
command line, which everybody can read. HKDF-SHA256 makes a key of it for each image, with a salt of its own, so that
the numbers of frames can be the nonces: under one key none is used twice.
"""

from __future__ import annotations

import os

from replant.errors import ImageError, ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CIPHER = "aes-256-gcm"
KEY, KEY_FILE = "REPLANT_KEY", "REPLANT_KEY_FILE"
SALT = 16
TAG = 16
_SHORTEST = 16
_LIMIT = 1 << 16
_INFO = b"replant image 1"
_FILES = {"model.json": 1 << 64, "blobs.bin": 2 << 64}  # above every number of a frame


class Secret:
    """Seals and opens the parts of one image. :raises ReplantError: there is no key, or no library."""

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        aead, hkdf, sha256, self._wrong = _library()
        self._aead = aead(hkdf(algorithm=sha256(), length=32, salt=salt, info=_INFO).derive(_user_key()))

    @classmethod
    def fresh(cls) -> Secret:
        """For a new image."""
        return cls(os.urandom(SALT))

    def seal(self, part: int | str, data: bytes | memoryview) -> bytes:
        """The sealed form of a frame, by its number, or of a file, by its name; `TAG` bytes longer."""
        sealed: bytes = self._aead.encrypt(_nonce(part), bytes(data), None)
        return sealed

    def open(self, part: int | str, sealed: bytes | memoryview) -> bytes:
        """What was sealed. :raises ImageError: with another key, or as another part, or it was changed."""
        try:
            data: bytes = self._aead.decrypt(_nonce(part), bytes(sealed), None)
        except self._wrong:
            raise ImageError(
                "the image cannot be decrypted: it was encrypted with another key, or changed",
                code="image-key",
                resource=part if isinstance(part, str) else f"frame {part}",
                hint=f"name the file with the key it was made with in ${KEY_FILE}",
            ) from None
        return data


def _nonce(part: int | str) -> bytes:
    return (part if isinstance(part, int) else _FILES[part]).to_bytes(12, "big")


def _user_key() -> bytes:
    path, key = os.environ.get(KEY_FILE), os.environ.get(KEY, "").encode()
    if path:
        try:
            with open(path, "rb") as file:
                key = file.read(_LIMIT)
        except OSError as e:
            raise ReplantError(
                f"the key in {path} cannot be read: {e.strerror}", code="no-key", resource=path,
                hint=f"name a file that you can read in ${KEY_FILE}",
            ) from e  # fmt: skip
    if len(key) < _SHORTEST:
        raise ReplantError(
            f"the key has {len(key)} bytes, and needs {_SHORTEST}" if key else "there is no key for an encrypted image",
            code="no-key",
            hint=f"make one (head -c 32 /dev/urandom > FILE), and name it in ${KEY_FILE}",
        )
    return key


def _library() -> tuple[Any, Any, Any, Any]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as e:
        raise ReplantError(
            "the library cryptography is not installed",
            code="no-library",
            resource="cryptography",
            hint="install it: pip install 'replant[encrypt]'",
        ) from e
    return AESGCM, HKDF, SHA256, InvalidTag
