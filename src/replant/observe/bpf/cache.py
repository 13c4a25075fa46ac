"""The layout kept between runs: asking takes the kernel 15-20 ms, a search of its types for each structure.

A text file, one line a member, in ``$XDG_CACHE_HOME/replant`` (or ``/var/cache/replant`` for root). It counts only for
the kernel and the declarations it was made with, and it is trusted as far as what is then read agrees with /proc/self,
no more than the kernel's own answer. A file of another owner, or that others may write to, is not even read.
"""

from __future__ import annotations

import os

from .kernel import CAST, DECLARATIONS, Layout, Place

FUNCTIONS = ("bpf_iter_task", "bpf_iter_task_vma", "bpf_iter_task_file", CAST)


def layout() -> Layout:
    """The layout of the running kernel, from the cache or from the kernel.

    :raises OSError: the kernel does not let the caller ask.
    """
    key, path = _key(), _path()
    known = _read(path, key)
    if known is None:
        from .layout import ask

        known = ask(FUNCTIONS)
        _write(path, key, known)
    return known


def _key() -> str:
    """One line: the build id, which changes with every build even of the same version, and what was asked."""
    with open("/sys/kernel/notes", "rb") as file:
        notes = file.read()
    size = os.stat("/sys/kernel/btf/vmlinux").st_size
    return f"{notes.hex()} {size} {' '.join(DECLARATIONS.split())}"


def _path() -> str:
    home = os.environ.get("XDG_CACHE_HOME") or ("/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache"))
    return os.path.join(home, "replant", "kernel-layout")


def _read(path: str, key: str) -> Layout | None:
    try:
        with open(path, "rb") as file:
            st = os.fstat(file.fileno())
            if st.st_uid != os.geteuid() or st.st_mode & 0o022:
                return None
            first, *lines = file.read().decode("ascii").splitlines()
        if first != key:
            return None
        return _parse(lines)
    except (OSError, ValueError):
        return None


def _parse(lines: list[str]) -> Layout:
    found = Layout({}, {}, {})
    for line in lines:
        what, *words = line.split()
        if what == "member":
            structure, member, *numbers = words
            offset, size, left, right = map(int, numbers)
            found.places[structure, member] = Place._make((offset, size, (left, right)))
        elif what == "size":
            found.sizes[words[0]] = int(words[1])
        else:
            found.ids[words[0]] = int(words[1])
    return found


def _write(path: str, key: str, found: Layout) -> None:
    lines = [key]
    for (structure, member), place in found.places.items():
        lines.append(f"member {structure} {member} {place.offset} {place.size} {place.shift[0]} {place.shift[1]}")
    lines += [f"size {name} {size}" for name, size in found.sizes.items()]
    lines += [f"function {name} {number}" for name, number in found.ids.items()]
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(beside, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write("\n".join(lines) + "\n")
        os.rename(beside, path)
    except OSError:
        # a cache is a convenience: a read-only home costs 20 ms each time
        return
