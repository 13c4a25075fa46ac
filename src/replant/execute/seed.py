"""The seed: the smallest process there can be, from which the root of a restored tree is cloned.

It is an ELF file of 134 bytes in a memfd, started with the descriptors that the restorer has opened for the tree. It
is seized at once, and stripped: nothing is left in its address space but the arena and the vDSO, parked aside.
"""

from __future__ import annotations

import os

from replant.abi import mman, x86_64
from replant.abi.call import Track
from replant.errors import ReplantError
from replant.execute import elf
from replant.execute.inject import inject
from replant.execute.vdso import is_special
from replant.observe import procfs
from replant.tracee import ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from replant.execute.arena import Arena

_SYSCALL = 5  # offset of the instruction in _CODE
# read(0, rsp, 1), then _exit: standard input is a pipe that ends when the restorer dies, seized or not
_CODE = b"\x48\x89\xe6\xff\xc2\x0f\x05\xb8\x3c\x00\x00\x00\x0f\x05"
_SIGNALS = [*range(1, 32), *range(34, 65)]  # an interpreter ignores SIGPIPE and SIGXFSZ, which exec would keep
OPTIONS = ptrace.O_EXITKILL | ptrace.O_TRACESYSGOOD


class Seed:
    """A seized seed, traced with ``options`` more, as all that come from it.

    ``vdso`` lists its special mappings (vvar and vdso) in order.
    """

    def __init__(self, wanted: Container[int], options: int = 0) -> None:
        self.pid = _spawn(wanted)
        ptrace.seize(self.pid, OPTIONS | options)
        ptrace.interrupt(self.pid)
        wait.until_stopped(self.pid)
        maps = procfs.maps(self.pid, vmflags=False)
        self.vdso = [m for m in maps if is_special(m)]
        self.rest = [m for m in maps if not is_special(m) and m.path != "[vsyscall]"]

    def _syscall(self, nr: int, *args: int) -> int:
        """One system call by the seed's own instruction, between its entry and exit stops.

        :raises OSError: what the kernel answered.
        """
        return inject(self.pid, elf.BASE + elf.ENTRY + _SYSCALL, nr, *args)

    def enter(self, arena: Arena) -> None:
        """Map the arena; its descriptor was inherited."""
        prot = mman.PROT_READ | mman.PROT_WRITE | mman.PROT_EXEC
        how = mman.MAP_SHARED | mman.MAP_FIXED_NOREPLACE
        self._syscall(x86_64.mmap, arena.address, arena.size, prot, how, arena.fd, 0)

    def strip(self, parking: int, lowest_fd: int) -> Track:
        """Calls that park the vDSO, unmap everything else and close all descriptors below ``lowest_fd``."""
        on = Track(str(self.pid))
        for m in self.vdso:
            length = m.end - m.start
            place = parking + m.start - self.vdso[0].start
            how = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
            on.call(x86_64.mremap, m.start, length, length, how, place, why="vDSO aside")
        for m in self.rest:
            on.call(x86_64.munmap, m.start, m.end - m.start, why="nothing of the seed stays")
        on.call(x86_64.close_range, 0, lowest_fd - 1, 0, why="descriptors of the restorer")
        # posix_spawn(3) leaves the C library's own signals ignored
        for number in (32, 33):
            on.call(x86_64.rt_sigaction, number, bytes(32), 0, 8, why="dispositions as after exec")
        return on


def _spawn(wanted: Container[int]) -> int:
    """Start a seed, and another one as long as its number is one that the tree wants."""
    reading, _ = os.pipe2(os.O_CLOEXEC)  # the writing end stays open, unused, as long as we live
    unfit = []
    while (pid := _spawn_one(reading)) in wanted:
        unfit.append(pid)
    for each in unfit:
        os.kill(each, 9)
        os.waitpid(each, 0)
    return pid


def _spawn_one(stdin: int) -> int:
    path, first = f"/proc/self/fd/{_image()}", [(os.POSIX_SPAWN_DUP2, stdin, 0)]
    try:
        return os.posix_spawn(path, ["replant"], {}, file_actions=first, setsigdef=_SIGNALS)
    except OSError as e:
        raise ReplantError(
            f"the seed process cannot be started: {e.strerror}",
            code="seed",
            hint="is /proc mounted, and may memory files be executed (vm.memfd_noexec)?",
        ) from e


def _image() -> int:
    if not _made:
        _made.append(os.memfd_create("seed", os.MFD_CLOEXEC))
        os.write(_made[0], elf.executable(_CODE))
    return _made[0]


_made: list[int] = []
