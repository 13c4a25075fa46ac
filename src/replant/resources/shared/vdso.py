"""Old vDSO code under a kernel with another: programs keep addresses of its functions, which must go on to work."""

from __future__ import annotations

from itertools import pairwise

from replant.abi import vdso
from replant.errors import Blocker, ImageError
from replant.resources.shared import build_id

_JUMP = b"\x49\xbb%b\x41\xff\xe3"  # movabs r11, ADDRESS; jmp r11: a register that a called function may destroy
_SIZE = len(_JUMP % bytes(8))


def alike(old: bytes, here: bytes) -> bool:
    """Whether both are of one build: each kernel fits the bytes of its functions to the CPU, but no address."""
    return old == here or (
        build_id.of_bytes(old) == build_id.of_bytes(here) != b"" and _functions(old) == vdso.functions(here)
    )


def led(old: bytes, here: bytes, at: int) -> bytes:
    """The old code with each function made a jump to that of the same name in ``here``, which stands at ``at``.

    :raises Blocker: there is none of that name, or no room for a jump. :raises ImageError: that is no vDSO.
    """
    places, targets, code = _functions(old), vdso.functions(here), bytearray(old)
    starts = sorted({0, *places.values()})
    if any(b - a < _SIZE for a, b in pairwise([*starts, len(old)])):
        raise _refused("cannot be reached from the old one, whose functions leave no room for a jump")
    for name, offset in places.items():
        if name not in targets:
            raise _refused(f"has no {name}")
        code[offset : offset + _SIZE] = _JUMP % (at + targets[name]).to_bytes(8, "little")
    return bytes(code)


def _functions(old: bytes) -> dict[str, int]:
    try:
        return vdso.functions(old)
    except ValueError as e:
        raise ImageError(f"the image's vDSO cannot be read: {e}", code="image-corrupt", resource="vdso") from e


def _refused(what: str) -> Blocker:
    return Blocker(
        f"the image is of a kernel with another vDSO, and the one here {what}",
        code="vdso-function",
        resource="[vdso]",
        hint="restore it on the kernel that it was made on, or a newer one",
    )
