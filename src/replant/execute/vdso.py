"""The vDSO of this kernel: the same bytes in every process, at another address in each."""

from __future__ import annotations

import ctypes
import os

from replant.errors import ReplantError
from replant.observe import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.model.tree import Mm
    from replant.observe.procfs import Mapping

_SYSCALL = b"\x0f\x05"


def is_special(m: Mapping) -> bool:
    """Whether the kernel mapped it at exec for the vDSO."""
    return m.path.startswith(("[vvar", "[vdso"))


class Vdso:
    """What the restorer's own tells: ``size`` of the special mappings in one row, and where a ``syscall`` stands."""

    def __init__(self) -> None:
        special = [m for m in procfs.maps(os.getpid(), vmflags=False) if is_special(m)]
        code = special[-1]
        self.size = code.end - special[0].start
        self._offset = ctypes.string_at(code.start, code.end - code.start).find(_SYSCALL)
        if self._offset < 0:
            raise ReplantError("this kernel's vDSO has no syscall instruction", code="vdso")

    def instruction(self, mm: Mm) -> int:
        """The address of a ``syscall`` instruction in the vDSO of a saved process."""
        return [v.start for v in mm.vmas if v.kind == "vdso"][-1] + self._offset
