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
    """What the restorer's own tells of the special mappings, which stand in one row.

    ``size`` of the row; ``rows``: start and end in it, and protection, of each; ``code``: where the last one begins.
    """

    def __init__(self) -> None:
        special = [m for m in procfs.maps(os.getpid(), vmflags=False) if is_special(m)]
        first, code = special[0].start, special[-1]
        self.size, self.code = code.end - first, code.start - first
        self.rows = [(m.start - first, m.end - first, m.prot) for m in special]
        self._offset = ctypes.string_at(code.start, code.end - code.start).find(_SYSCALL)
        if self._offset < 0:
            raise ReplantError("this kernel's vDSO has no syscall instruction", code="vdso")

    def instruction(self, mm: Mm) -> int:
        """The address of a ``syscall`` instruction in the vDSO of a saved process."""
        return [v.start for v in mm.vmas if v.kind == "vdso"][-1] + self._offset
