"""manifest.json: what an image is, who wrote it where, and the checksums of everything else.

One line of JSON whose last member is the checksum of all that stands before it: a flipped bit is noticed here too.
It is written last: a directory without it is no image.
"""

from __future__ import annotations

from replant.errors import ImageError
from replant.image import columns, rawjson
from replant.image.codec import corrupt
from replant.image.scalars import Reject, Source
from replant.image.sums import digest
from replant.model.frozen import Frozen

NAME = "manifest.json"
FORMAT = 1
MAGIC = b'{"image":"replant","format":'
_TAIL = ',"checksum":"%s"}\n'
_TAIL_SIZE = len(_TAIL % ("0" * 32))


class KindVersion(Frozen):
    """The version of a kind that occurs in the image, named ``family/kind``."""

    name: str
    version: int


class Part(Frozen):
    """A file of the image: its size in bytes, and the checksum (xxh3_128, hexadecimal) of each 2 MiB of it."""

    name: str
    size: int
    sums: tuple[str, ...]


class Parent(Frozen):
    """An earlier image that has some of the pages: its path from this directory, identity, size of its store."""

    path: str
    identity: str
    size: int


class Manifest(Frozen):
    """The manifest; members of the JSON object in this order. ``created`` is in seconds since 1970.

    ``xfeatures`` are the extended states of the CPU (XCR0) that the saved registers need, ``boot_id`` tells whether
    CLOCK_MONOTONIC of another moment can be compared with it, ``notes`` are pairs of words for people. ``parents``
    are numbered from 1 on in `replant.model.places`.
    """

    image: str
    format: int
    tool: str
    arch: str
    kernel: str
    boot_id: str
    created: int
    xfeatures: int
    notes: tuple[tuple[str, str], ...]
    kinds: tuple[KindVersion, ...]
    parts: tuple[Part, ...]
    parents: tuple[Parent, ...]

    def has(self, name: str) -> bool:
        """Whether there is an entry of a file."""
        return any(part.name == name for part in self.parts)

    def part(self, name: str) -> Part:
        """The entry of a file. :raises ImageError: there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise corrupt(f"says nothing about {name}", NAME)


def render(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    body = rawjson.render(dict(zip(Manifest._fields, manifest, strict=True)), repr)[:-1].encode("ascii")
    return body + (_TAIL % digest(body)).encode("ascii")


def identity(data: bytes) -> str:
    """What tells an image from every other: the checksum of its manifest, which holds the checksums of all else."""
    return data[-_TAIL_SIZE:-3].decode("ascii", "replace")[-32:]


def parse(data: bytes) -> Manifest:
    """The manifest of an image. :raises ImageError: it is none of ours, newer, cut off, or damaged."""
    if not data.startswith(MAGIC):
        raise ImageError(
            "manifest.json is not the manifest of an image of replant",
            code="image-truncated" if MAGIC.startswith(data) else "image-corrupt",
            resource=NAME,
        )
    _check_format(data[len(MAGIC) : len(MAGIC) + 20].partition(b",")[0])
    body, tail = data[:-_TAIL_SIZE], data[-_TAIL_SIZE:]
    if tail != (_TAIL % digest(body)).encode("ascii"):
        raise corrupt("its checksum does not fit: it is cut off or damaged", NAME)
    return _from_object(body + b"}")


def _check_format(number: bytes) -> None:
    if number.isdigit() and int(number) != FORMAT:
        raise ImageError(
            f"the image has format {int(number)}, this replant reads format {FORMAT}",
            code="image-version",
            resource=NAME,
            hint="restore it with the version of replant that wrote it",
        )


def _from_object(text: bytes) -> Manifest:
    try:
        value = rawjson.parse(text.decode("ascii"))
        if not isinstance(value, dict) or tuple(value) != Manifest._fields:
            raise corrupt(f"must have the members {', '.join(Manifest._fields)}", NAME)
        manifest: Manifest = columns.record(Manifest)([[*value.values()]], Source(b""))[0]
    except Reject as e:
        raise corrupt(f"{e.where.lstrip('.')} {e.why}", NAME) from None
    except (ValueError, RecursionError) as e:
        raise corrupt(str(e), NAME) from None
    return manifest
