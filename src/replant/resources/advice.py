"""What can be asked of any mapping once it stands: madvise(2), mlock(2), pkey_mprotect(2), mseal(2).

Read from smaps(5): VmFlags, and ProtectionKey as one more word, ``pk`` and the number. A mapping is sealed last of all,
since nothing can be asked of it then.
"""

from __future__ import annotations

from replant.abi import mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Track
    from replant.model.tree import Vma

_EINVAL = 22
_ADVICE = {
    "sr": mman.MADV_SEQUENTIAL,
    "rr": mman.MADV_RANDOM,
    "dc": mman.MADV_DONTFORK,
    "dd": mman.MADV_DONTDUMP,
    "hg": mman.MADV_HUGEPAGE,
    "nh": mman.MADV_NOHUGEPAGE,
    "mg": mman.MADV_MERGEABLE,
    "wf": mman.MADV_WIPEONFORK,
}
#: VmFlags that belong to a mapping's State: chosen by the program, and put on again.
KEPT = frozenset([*_ADVICE, "lo", "lf", "gd", "nr", "dp", "sl", "ht", *[f"pk{key}" for key in range(1, 16)]])
#: VmFlags that make a mapping impossible to keep, with the reason.
REFUSED = {
    "um": "is registered with a userfaultfd (a lazy restore that is still loading does that, too)",
    "uw": "is write-protected by a userfaultfd",
    "ui": "is registered with a userfaultfd",
    "io": "maps the memory of a device",
    "pf": "maps the memory of a device",
    "ss": "is a shadow stack",
    "sf": "is of persistent memory (MAP_SYNC)",
    "uprobes": "holds instructions that uprobes of the kernel have replaced",
    "special": "is one that the kernel makes for itself",
}
#: the one of these that does no harm where all that its maker does is to watch (`replant.pages.scan.is_watched`)
WATCHED = "uw"
HINTS = {"uprobes": "take the probes away, or dump with --uprobes keep if they will be there at the restore as well"}
_OF_PROGRAMS = ("[heap]", "[stack]", "[anon:", "[anon_shmem:", "[stack:")


def special(name: str) -> str:
    """The word of REFUSED for a mapping with such a name in brackets, "" if programs have it."""
    if name.startswith(_OF_PROGRAMS):
        return ""
    return "uprobes" if name == "[uprobes]" else "special"


def chosen(words: str) -> str:
    """The kept ones among the words of a VmFlags line, sorted.

    The initial stack of a program and areas of MAP_GROWSDOWN have ``gd``; ``lf`` marks locked-on-fault.
    """
    return " ".join(sorted(KEPT.intersection(words.split())))


def apply(vma: Vma, on: Track) -> None:
    """Calls that put the advice of ``vma`` on again, after its pages are filled."""
    words, length = vma.flags.split(), vma.end - vma.start
    for word in words:
        advice = _ADVICE.get(word)
        if advice is not None:
            on.call(x86_64.madvise, vma.start, length, advice, why=f"advice {word}")
        if word[:2] == "pk":
            # EINVAL: not the program's, but the one that the kernel itself uses for what may only be executed
            ok = (_EINVAL,) if vma.prot == mman.PROT_EXEC else ()
            on.call(x86_64.pkey_mprotect, vma.start, length, vma.prot, int(word[2:]), why="protection key", ok=ok)
    if "lo" in words:
        onfault = mman.MLOCK_ONFAULT if "lf" in words else 0
        on.call(x86_64.mlock2, vma.start, length, onfault, why="locked memory")
    if "sl" in words:
        on.call(x86_64.mseal, vma.start, length, 0, why="sealed")
