"""From raw columns of kernel memory to the values of fields: ``decode(context, *columns)``, a column at a time.

Columns are lists, one entry a record, so most of the work stays in C (``zip``, ``map``).
"""

from __future__ import annotations

from struct import Struct, unpack_from

from .field import MISSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from .bpf.context import Context
    from .field import Decode

    Ints = Sequence[int]


def each(function: Callable[..., object]) -> Decode:
    """``function`` of the values of every record."""
    return lambda _context, *columns: map(function, *columns)


class _Known(dict[object, object]):
    """Values by what they were made of; more than a few are forgotten, so that nothing grows for ever."""

    def __init__(self, make: Callable[[Any], object]) -> None:
        self._make = make

    def __missing__(self, key: object) -> object:
        if len(self) > 1024:
            self.clear()
        value = self[key] = self._make(key)
        return value


def once(function: Callable[..., object]) -> Decode:
    """``function`` of the values of records, called once for equal ones: for columns with few different values."""
    single, several = _Known(function), _Known(lambda values: function(*values))

    def decode(_context: Context, *columns: Sequence[object]) -> Iterable[object]:
        if len(columns) == 1:
            return map(single.__getitem__, columns[0])
        return map(several.__getitem__, zip(*columns, strict=True))

    return decode


def key(kind: str) -> Decode:
    """An address as an opaque number: equal where the kernel object is the same one, 0 for none, else meaningless."""

    def decode(context: Context, addresses: Ints) -> Iterable[int]:
        seen = context.keys(kind)
        return [seen.setdefault(address, len(seen)) for address in addresses]

    return decode


def path(context: Context, mounts: Ints, dentries: Ints) -> Iterable[object]:
    """The text of a struct path; ``None`` where there is none."""
    texts = context.texts
    return [texts.get(pair, MISSING) if pair[1] else None for pair in zip(mounts, dentries, strict=True)]


def number(context: Context, levels: Ints, numbers: Ints) -> Iterable[int]:
    """A pid as the caller's namespace numbers it, 0 when it is outside."""
    level = context.level
    return numbers if level == 0 else [n if at >= level else 0 for at, n in zip(levels, numbers, strict=True)]


_NUMBERS = 4


def numbers(context: Context, task_levels: Ints, levels: Ints, raw: Sequence[bytes]) -> Iterable[object]:
    """The numbers of a struct pid in the namespaces of a task, from the caller's inwards, 0 where it has none."""
    first, step = context.level, context.layout.sizes["upid"]

    def one(task_level: int, level: int, data: bytes) -> object:
        if task_level - first >= _NUMBERS:
            return MISSING
        deep = range(task_level - first + 1)
        return tuple([unpack_from("=i", data, step * i)[0] if level >= first + i else 0 for i in deep])

    return map(one, task_levels, levels, raw)


def none_without(_context: Context, owners: Ints, values: Sequence[object]) -> Iterable[object]:
    """The value, ``None`` where the structure that would hold it does not exist."""
    return [value if owner else None for owner, value in zip(owners, values, strict=True)]


comm = once(lambda raw: raw.partition(b"\0")[0].decode("utf-8", "surrogateescape"))

_STATES = "RSDTtXZPI"
_REPORT = 0x7F


def _state(state: int, exit_state: int) -> str:
    # TASK_IDLE is UNINTERRUPTIBLE | NOLOAD; RTLOCK_WAIT and FROZEN are shown as uninterruptible
    if state == 0x402:
        return "I"
    reported = (state | exit_state) & _REPORT
    if state & 0x9000:
        reported |= 2
    return _STATES[reported.bit_length()]


state = once(_state)


_STOPPED_OR_EXITING = 1 | 4


def _exit_code(own: int, pid: int, tgid: int, sighand: int, flags: int, group: int) -> int:
    # what a leader shows is the process's, as /proc/PID/stat does and /proc/PID/task/TID/stat does not
    return group if pid == tgid and sighand and flags & _STOPPED_OR_EXITING else own


exit_code = once(_exit_code)


def _groups(count: int, raw: bytes) -> object:
    if count * 4 > len(raw):
        return MISSING
    return unpack_from(f"={count}I", raw)


groups = once(_groups)


def bit(number: int) -> Decode:
    """One bit of a word as a truth value."""
    return lambda _context, words: [bool(word >> number & 1) for word in words]


def ticks_of_ns(_context: Context, times: Ints) -> Iterable[int]:
    """Hundredths of a second."""
    return [ns // 10_000_000 for ns in times]


true = each(bool)
kib_of_pages = each(lambda pages: pages * 4)
nice = each(lambda static_prio: static_prio - 120)


def _tty(tty: int, major: int, first: int, index: int) -> int:
    if not tty:
        return 0
    minor = first + index
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


tty = once(_tty)


device = once(lambda number: (number >> 20, number & 0xFFFFF))

_LIMIT = Struct("=QQ")


limits = once(lambda raw: tuple(_LIMIT.iter_unpack(raw)))


def _auxv(raw: bytes) -> object:
    words = unpack_from(f"={len(raw) // 8}Q", raw)
    kinds = words[::2]
    end = kinds.index(0)
    return tuple(zip(kinds[:end], words[1::2], strict=False))


auxv = each(_auxv)

_HANDLER = Struct("=Q24x")
SIG_DFL, SIG_IGN = 0, 1


def handled(ignored: bool) -> Decode:
    """Signals ignored, or caught, as a mask."""

    def mask(raw: bytes) -> int:
        handlers = [handler for (handler,) in _HANDLER.iter_unpack(raw)]
        return sum(1 << i for i, h in enumerate(handlers) if (h == SIG_IGN if ignored else h > SIG_IGN))

    return once(mask)


def tracer(context: Context, traced: Ints, levels: Ints, pids: Ints) -> Iterable[int]:
    """The thread that traces, 0 for none."""
    return [pid if at and level >= context.level else 0 for at, level, pid in zip(traced, levels, pids, strict=True)]


def unless_empty(_context: Context, reapers: Ints, inums: Ints) -> Iterable[int]:
    """A pid namespace for children, 0 until its first process exists (as procfs shows it)."""
    return [inum if reaper else 0 for reaper, inum in zip(reapers, inums, strict=True)]


_RSS_FILE, _RSS_ANON, _RSS_SHMEM = 0, 1, 3
rss = each(lambda *counts: sum(max(0, count) for count in counts) * 4)
dumpable = each(lambda flags: flags & 3)

_VM_MASK = 7


prot = once(lambda word: word & _VM_MASK)
shared = once(lambda word: bool(word >> 7 & 1))


bytes_of_pages = each(lambda pages: pages << 12)


def vm_flags(context: Context, words: Ints) -> Iterable[object]:
    """The two-letter words of smaps; MISSING when a bit is set whose word could not be learnt."""
    known = {word: context.vm_words(word) for word in set(words)}
    return map(known.__getitem__, words)


_NO_NAMESPACE = (1 << 64) - 4096
_SB_KERNMOUNT = 1 << 22


def _visible(namespaces: Ints, flags: Ints, values: Sequence[object]) -> Sequence[object]:
    """The values, MISSING of what a stacked file system has mapped: a file of the layer below, in a mount of its own.

    Such a mount is in no namespace (an error pointer), like those of file systems that the kernel mounts for itself.
    """
    if max(namespaces, default=0) < _NO_NAMESPACE:
        return values
    return [
        MISSING if at >= _NO_NAMESPACE and not flag & _SB_KERNMOUNT else value
        for at, flag, value in zip(namespaces, flags, values, strict=True)
    ]


def mapped_device(context: Context, namespaces: Ints, flags: Ints, numbers: Ints) -> Iterable[object]:
    """The file system of a mapped file as (major, minor)."""
    return _visible(namespaces, flags, list(device(context, numbers)))


def mapped_inode(_context: Context, namespaces: Ints, flags: Ints, inodes: Ints) -> Iterable[object]:
    """The inode number of a mapped file."""
    return _visible(namespaces, flags, inodes)


def vma_name(
    context: Context,
    namespaces: Ints,
    flags: Ints,
    mounts: Ints,
    dentries: Ints,
    ops: Ints,
    data: Ints,
    *areas: Ints,
) -> Iterable[object]:
    """The name that /proc/PID/maps shows: a path, a special mapping, heap, stack, or nothing.

    ``areas``: begins below the end of the heap, ends above its begin, and the same for the stack.
    """
    texts: dict[tuple[int, int], object] = {**context.texts, (0, 0): ""}
    found = [texts.get(pair, MISSING) for pair in zip(mounts, dentries, strict=True)]
    found = list(_visible(namespaces, flags, found))
    for at, operations, special, *area in zip(range(len(found)), ops, data, *areas, strict=True):
        if found[at] == "":
            found[at] = context.names(special) if operations == context.special_ops else _area(*area)
    return found


def _area(below_brk: int, above_start: int, below_stack: int, above_stack: int) -> str:
    if below_brk and above_start:
        return "[heap]"
    return "[stack]" if below_stack and above_stack else ""


O_CLOEXEC = 0o2000000
file_flags = each(lambda flags, closes: flags & ~O_CLOEXEC | (O_CLOEXEC if closes else 0))

_ANON, _PIDFS = 0x09041934, 0x50494446
# file systems whose stat(2) shows what the inode says; network, stacked and multi-device ones show something else
_PLAIN = frozenset(
    (
        *(
            0xEF53,
            0x58465342,
            0xF2F52010,
            0x01021994,
            0x858458F6,
            0x958458F6,
        ),  # ext, xfs, f2fs, tmpfs, ramfs, hugetlbfs
        *(0x50495045, 0x534F434B, _ANON, _PIDFS, 0x6E736673, 0x5345434D),  # pipe, socket, anon, pidfs, nsfs, secretmem
        *(
            0x9FA0,
            0x62656572,
            0x1CD1,
            0x63677270,
            0x64626720,
            0x19800202,
        ),  # proc, sysfs, devpts, cgroup2, debugfs, mqueue
    )
)


# the device as stat(2) shows it; MISSING where a file system is free to show another
stat_device = once(lambda magic, number: (number >> 20, number & 0xFFFFF) if magic in _PLAIN else MISSING)


def _stat_mode(magic: int, mode: int) -> object:
    # of a pidfd without the type that its inode has (anon_inode_getattr)
    if magic not in _PLAIN:
        return MISSING
    return mode & 0o7777 if magic == _PIDFS else mode


stat_mode = once(_stat_mode)
_S_IFSOCK = 0o140000
of_socket = each(lambda mode, value: value if mode & 0o170000 == _S_IFSOCK else 0)
either = each(lambda a, b: bool(a or b))


def cpus(context: Context, masks: Sequence[bytes]) -> Iterable[int]:
    """A mask of CPUs; bits beyond those that can exist are left over from whoever had the memory before."""
    known = {mask: int.from_bytes(mask, "little") & context.possible_cpus for mask in set(masks)}
    return map(known.__getitem__, masks)


def _tcp(mode: int, protocol: int, kind: int, write_seq: int, rcv_nxt: int) -> tuple[int, int] | None:
    return (write_seq, rcv_nxt) if mode & 0o170000 == _S_IFSOCK and (protocol, kind) == (6, 1) else None


tcp = each(_tcp)
