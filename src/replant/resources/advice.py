"""What can be asked of any mapping once it stands: madvise(2), mlock(2); read from VmFlags of smaps(5)."""

from __future__ import annotations

from replant.abi import mman, x86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Track
    from replant.model.tree import Vma

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
KEPT = frozenset([*_ADVICE, "lo", "lf", "gd", "nr", "dp"])
#: VmFlags that make a mapping impossible to keep, with the reason.
REFUSED = {
    "um": "is registered with a userfaultfd (a lazy restore that is still loading does that, too)",
    "uw": "is write-protected by a userfaultfd",
    "ui": "is registered with a userfaultfd",
    "io": "maps the memory of a device",
    "pf": "maps the memory of a device",
    "ss": "is a shadow stack",
    "sl": "is sealed by mseal(2)",
}


def chosen(words: str) -> str:
    """The kept ones among the words of a VmFlags line, sorted.

    The initial stack of a program and areas of MAP_GROWSDOWN have ``gd``; ``lf`` marks locked-on-fault.
    """
    return " ".join(sorted(KEPT.intersection(words.split())))


def apply(vma: Vma, on: Track) -> None:
    """Calls that put the advice of ``vma`` on again, after its pages are filled."""
    for word in vma.flags.split():
        advice = _ADVICE.get(word)
        if advice is not None:
            on.call(x86_64.madvise, vma.start, vma.end - vma.start, advice, why=f"advice {word}")
    if "lo" in vma.flags:
        onfault = mman.MLOCK_ONFAULT if "lf" in vma.flags else 0
        on.call(x86_64.mlock2, vma.start, vma.end - vma.start, onfault, why="locked memory")
