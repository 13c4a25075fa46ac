"""Damage of every sort, in a process and fast: what an image may do to whoever opens it is to be refused.

The checksums are left out of it: who can write an image can write them. ``python -m image.fuzz 100000`` prints how many
were let through and how many refused.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from copy import deepcopy
from typing import Any

from image.sample import KINDS, STORE_SIZE, model, resolve
from replant.errors import ImageError
from replant.image import codec, manifest
from replant.image.sums import digest

VERSIONS = {f"{family}/{kind}": 3 for family, kind in KINDS}
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, "", "a", "\0", "\udcff",
    "\ud800", "../x", "rich", "x" * 70_000, [], {}, [[]], [0, 0], [0, 1], [0, 10**9], [1, -1], [[[[[[]]]]]], {"a": 1},
]  # fmt: skip


def one(rng: random.Random) -> bool:
    """One damaged image; whether it was let through. Any exception but ImageError is the bug that is looked for."""
    data, blobs = codec.encode(model(rng.randrange(4)))
    how = rng.randrange(4)
    versions = dict(VERSIONS)
    if how == 0:
        data = flipped(data, rng)
    elif how == 1:
        blobs = flipped(blobs, rng)
    else:
        data = replaced(data, rng, rng.randrange(1, 4))
    if rng.random() < 0.3:
        versions[rng.choice(list(versions))] = rng.choice((1, 2, 0, 9))
    try:
        found = codec.decode(data, blobs, resolve, versions, [STORE_SIZE])
    except ImageError as e:
        assert str(e) and len(str(e)) < 500 and e.code.startswith("image-")
        return False
    assert codec.decode(*codec.encode(found), resolve, None, [STORE_SIZE]) == found
    return True


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Bytes with some of them changed, cut out, doubled, or all cut off from some place."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes((rng.randrange(256),))
            case 1 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                del changed[at : at + rng.randrange(20)]
            case 3:
                changed[at:at] = changed[at : at + rng.randrange(20)]
            case 4:
                del changed[at:]
    return bytes(changed)


def replaced(data: bytes, rng: random.Random, count: int) -> bytes:
    """JSON whose structure is right, with other values in some places."""
    whole = json.loads(data)
    for _ in range(count):
        at: Any = whole
        while True:
            place = rng.randrange(len(at))
            if not isinstance(at[place], list) or not at[place] or rng.random() < 0.15:
                break
            at = at[place]
        match rng.randrange(4):
            case 0 | 1:
                at[place] = deepcopy(rng.choice(JUNK))
            case 2 if isinstance(at[place], int):
                at[place] += rng.choice((-4096, -1, 1, 4096))
            case 2:
                at[place] = at[rng.randrange(len(at))]
            case 3:
                del at[place]
                if not at:
                    break
    return json.dumps(whole).encode()


def one_manifest(rng: random.Random) -> bool:
    """One damaged manifest whose checksum is right."""
    empty = manifest.Manifest(
        "replant", 1, "0", "x", "y", "z", 1, 7, (("a", "b"),), (manifest.KindVersion("a/b", 1),), (), ()
    )
    body = manifest.render(empty).rpartition(b',"checksum"')[0]
    body = flipped(body, rng)
    try:
        manifest.parse(body + f',"checksum":"{digest(body)}"}}\n'.encode())
    except ImageError:
        return False
    return True


def run(count: int, seed: int) -> Counter[bool]:
    """Many; how many were let through and how many refused."""
    rng = random.Random(seed)
    found = Counter(one(rng) for _ in range(count))
    found.update(one_manifest(rng) for _ in range(count // 10))
    return found


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
