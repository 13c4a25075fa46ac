"""Features that a system call tells at once: it is made in a way that has no effect, and its answer read."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from replant.abi import x86_64 as nr
from replant.abi.libc import address, syscall_raw
from replant.host.feature import NOT_ALLOWED, Feature, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def features() -> Iterator[Feature]:
    """Features whose system call answers at once."""
    for name, attempt, serves, config, required in _ATTEMPTS:
        got = attempt()
        present = got >= 0
        fix = f"a kernel built with {config}" if got not in (-errno.EPERM, -errno.EACCES) else NOT_ALLOWED
        yield Feature(name, present, word(got), serves, fix, required)


def _expect(got: int, *fine: int) -> int:
    """0 where a call failed the way a kernel that has the feature fails it."""
    return 0 if got >= 0 or -got in fine else got


def _close(got: int) -> int:
    if got >= 0:
        os.close(got)
    return got


def _set_tid() -> int:
    # Our own pid is taken, so nothing is born: EEXIST is what clone3 says after all checks of rights (clone(2)).
    tid = struct.pack("<i", os.getpid())
    keep = ctypes.create_string_buffer(tid, 4)
    args = struct.pack("<11Q", 0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(keep), 1, 0)
    return _expect(syscall_raw(nr.clone3, args, len(args)), errno.EEXIST)


def _set_mm_map() -> int:
    size = bytearray(4)
    return syscall_raw(nr.prctl, 35, 15, address(size), 0, 0)  # PR_SET_MM, PR_SET_MM_MAP_SIZE


def _kcmp() -> int:
    return _expect(syscall_raw(nr.kcmp, os.getpid(), os.getpid(), 1, 0, 0))  # KCMP_VM


def _pidfd_getfd() -> int:
    own = os.pidfd_open(os.getpid())
    try:
        return _close(syscall_raw(nr.pidfd_getfd, own, own, 0))
    finally:
        os.close(own)


def _membarrier() -> int:
    return syscall_raw(nr.membarrier, 1 << 9, 0, 0)  # MEMBARRIER_CMD_GET_REGISTRATIONS


def _timer_ids() -> int:
    return syscall_raw(nr.prctl, 77, 2, 0, 0, 0)  # PR_TIMER_CREATE_RESTORE_IDS, _GET


def _pagemap_scan() -> int:
    fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        # struct pm_scan_arg of linux/fs.h: nothing asked for, an empty range
        arg = bytearray(struct.pack("<12Q", 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        return syscall_raw(nr.ioctl, fd, 0xC0606610, address(arg))
    finally:
        os.close(fd)


def _userfaultfd() -> int:
    fd = syscall_raw(nr.userfaultfd, os.O_CLOEXEC)
    if fd < 0:
        return fd
    try:
        # struct uffdio_api: UFFD_FEATURE_WP_ASYNC | WP_UNPOPULATED
        api = bytearray(struct.pack("<QQQ", 0xAA, 1 << 15 | 1 << 13, 0))
        return syscall_raw(nr.ioctl, fd, 0xC018AA3F, address(api))
    finally:
        os.close(fd)


def _bpf_map() -> int:
    # BPF_MAP_CREATE of an array of one 8-byte value
    attributes = struct.pack("<IIIII", 2, 4, 8, 1, 0) + bytes(100)
    return _close(syscall_raw(nr.bpf, 0, attributes, len(attributes)))


_ATTEMPTS: tuple[tuple[str, Callable[[], int], str, str, bool], ...] = (
    ("clone3-set-tid", _set_tid, "restoring with the same process ids", "CONFIG_CHECKPOINT_RESTORE=y", True),
    ("prctl-set-mm-map", _set_mm_map, "the layout that /proc shows of a task", "CONFIG_CHECKPOINT_RESTORE=y", True),
    ("kcmp", _kcmp, "knowing what tasks share", "CONFIG_KCMP=y", True),
    ("pidfd-getfd", _pidfd_getfd, "looking at open files from outside", "pidfd_getfd(2)", True),
    ("pagemap-scan", _pagemap_scan, "finding the pages to save", "PAGEMAP_SCAN (CONFIG_PROC_PAGE_MONITOR=y)", True),
    ("membarrier-query", _membarrier, "keeping registrations for membarrier(2)", "CONFIG_MEMBARRIER=y", True),
    ("timer-restore-ids", _timer_ids, "timer ids without trying one after the other", "CONFIG_POSIX_TIMERS=y", False),
    ("userfaultfd-wp-async", _userfaultfd, "write tracking; memory on demand", "CONFIG_USERFAULTFD=y", False),
    ("bpf", _bpf_map, "observing by BPF iterators instead of /proc", "CONFIG_BPF_SYSCALL=y", False),
)
