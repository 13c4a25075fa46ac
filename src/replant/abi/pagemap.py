"""PAGEMAP_SCAN: which pages of an address space are of some sort (``linux/fs.h``, PAGEMAP_SCAN(2const)).

The argument and the answer are arrays of 64-bit numbers. ``struct pm_scan_arg``::

    0 size  1 flags  2 start  3 end  4 walk_end  5 vec  6 vec_len  7 max_pages
    8 category_inverted  9 category_mask  10 category_anyof_mask  11 return_mask

``struct page_region`` is (start, end, categories). /proc/PID/pagemap itself gives 64 bits a page, with PM_ bits.
"""

from __future__ import annotations

from array import array

from replant.abi import x86_64
from replant.abi.libc import syscall

PAGEMAP_SCAN = 0xC0606610

PAGE_IS_WPALLOWED = 1 << 0
PAGE_IS_WRITTEN = 1 << 1
PAGE_IS_FILE = 1 << 2
PAGE_IS_PRESENT = 1 << 3
PAGE_IS_SWAPPED = 1 << 4
PAGE_IS_PFNZERO = 1 << 5
PAGE_IS_HUGE = 1 << 6
PAGE_IS_SOFT_DIRTY = 1 << 7
PAGE_IS_GUARD = 1 << 8

PM_SCAN_WP_MATCHING = 1 << 0
PM_SCAN_CHECK_WPASYNC = 1 << 1

PM_GUARD = 1 << 58
PM_FILE = 1 << 61
PM_SWAP = 1 << 62
PM_PRESENT = 1 << 63

_REGIONS = 512  # 12 KiB: a larger vector costs more in page faults than it saves in calls


def pagemap_scan(
    fd: int, start: int, end: int, inverted: int, mask: int, anyof: int, answer: int, flags: int = 0
) -> array[int]:
    """Regions of pages in [start, end) that have all bits of ``mask`` and one of ``anyof``, ``inverted`` ones flipped.

    ``fd`` is an open /proc/PID/pagemap. The answer is flat: start, end, categories (those in ``answer``), start, …
    ``flags``: with PM_SCAN_WP_MATCHING these pages are write-protected, mappings that cannot be are left out.

    :raises OSError: ENOTTY: a kernel before 6.7; EINVAL: it does not know one of the categories.
    """
    found = array("Q")
    vector = array("Q", bytes(24 * _REGIONS))
    place, _ = vector.buffer_info()
    while start < end:
        arg = bytearray(
            array("Q", (96, flags, start, end, 0, place, _REGIONS, 0, inverted, mask, anyof, answer)).tobytes()
        )
        count = syscall(x86_64.ioctl, fd, PAGEMAP_SCAN, arg)
        found += vector[: 3 * count]
        # where the walk has stopped; when the vector is full, that can lie before the end of the last region
        start = max(int.from_bytes(arg[32:40], "little"), vector[3 * count - 2] if count else 0)
    return found
