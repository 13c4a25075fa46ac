"""Memory of another process: many pieces in one call, or through protections.

`read` and `write` see what the process may itself read or write (process_vm_readv(2)); a `Memory` sees and changes
everything, as a debugger does (/proc/PID/mem).
"""

from __future__ import annotations

import ctypes
import os
from struct import Struct

from replant.abi import x86_64
from replant.abi.libc import address, syscall_raw
from replant.errors import Blocker, TaskGone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_IOV_MAX = 1024
_ESRCH = 3
_EFAULT = 14
_iovec = Struct("<QQ")
_piece = Struct("<QQQQ")


def read(pid: int, start: int, size: int) -> bytes:
    """``size`` bytes at ``start``.

    :raises TaskGone: the process has ended.
    :raises OSError: EFAULT: not all of it is mapped and readable.
    """
    buffer = (ctypes.c_char * size)()
    iovecs = bytearray(_piece.pack(ctypes.addressof(buffer), size, start, size))
    at = address(iovecs)
    _check(pid, start, size, syscall_raw(x86_64.process_vm_readv, pid, at, 1, at + 16, 1, 0))
    return buffer.raw


def read_many(pid: int, pieces: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes of each ``(start, size)``, 1024 pieces a system call. Raises as `read`."""
    found: list[bytes] = []
    for first in range(0, len(pieces), _IOV_MAX):
        part = pieces[first : first + _IOV_MAX]
        sizes = [size for _, size in part]
        buffer = (ctypes.c_char * sum(sizes))()
        iovecs = bytearray(_iovec.pack(ctypes.addressof(buffer), len(buffer)))
        iovecs += b"".join([_iovec.pack(*piece) for piece in part])
        at = address(iovecs)
        done = syscall_raw(x86_64.process_vm_readv, pid, at, 1, at + 16, len(part), 0)
        _check(pid, part[0][0], len(buffer), done)
        rest = memoryview(buffer)
        for size in sizes:
            found.append(bytes(rest[:size]))
            rest = rest[size:]
    return found


def write(pid: int, start: int, data: bytes | bytearray) -> None:
    """Write to memory that the process may write itself. Raises as `read`."""
    copy = bytearray(data)
    iovecs = bytearray(_piece.pack(address(copy), len(copy), start, len(copy)))
    at = address(iovecs)
    _check(pid, start, len(data), syscall_raw(x86_64.process_vm_writev, pid, at, 1, at + 16, 1, 0))


def _check(pid: int, start: int, wanted: int, done: int) -> None:
    if done == wanted:
        return
    if done == -_ESRCH:
        raise TaskGone(pid, "its memory was accessed")
    code = _EFAULT if done >= 0 else -done
    raise OSError(code, f"memory of {pid} at {start:#x}, {wanted} bytes: {os.strerror(code)}")


class Memory:
    """/proc/PID/mem: private copies are made of read-only pages that are written (FOLL_FORCE)."""

    __slots__ = ("_fd", "_pid")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):  # the latter as it ends
            raise TaskGone(pid, "its memory was opened") from None
        except PermissionError as error:
            raise Blocker(
                f"the memory of process {pid} cannot be opened: {error.strerror}",
                code="no-permission",
                pid=pid,
                hint="run as root (CAP_SYS_PTRACE)",
            ) from None

    def read(self, start: int, size: int) -> bytes:
        """``size`` bytes at ``start``. :raises OSError: EIO: not all of it is mapped."""
        data = os.pread(self._fd, size, start)
        if len(data) != size:
            raise self._short(start, size, len(data))
        return data

    def write(self, start: int, data: bytes | bytearray) -> None:
        """Write, protections notwithstanding. :raises OSError: EIO: not all of it is mapped."""
        done = os.pwrite(self._fd, data, start)
        if done != len(data):
            raise self._short(start, len(data), done)

    def close(self) -> None:
        """Close the file; what was written stays."""
        os.close(self._fd)

    def _short(self, start: int, wanted: int, done: int) -> Exception:
        if done == 0:
            return TaskGone(self._pid, "its memory was accessed")  # an address space without users reads as empty
        return OSError(5, f"memory of {self._pid} at {start:#x}: {done} of {wanted} bytes")
