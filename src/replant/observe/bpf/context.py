"""What decoding needs besides the columns: the caller's namespace level, texts of paths, words of VM flags."""

from __future__ import annotations

from ..field import MISSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..field import Missing
    from .kernel import Layout
    from .memory import KernelMemory

# bits of vm_flags (linux/mm.h) and their words in smaps; the calibration must not contradict them. Bits of 32 and more
# have moved between versions, and what a pkey or an architecture bit means depends: they are learnt, or not told.
_WORDS = (
    *("rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "gd", "um", "pf", "", "uw", "lo", "io", "sr"),
    *("rr", "dc", "de", "lf", "ac", "nr", "ht", "sf", "", "wf", "dd", "sd", "mm", "hg", "nh", "mg"),
)


class Context:
    """State of one observation.

    ``texts``: of paths by (mount, dentry).
    ``special_ops``: address of the operations that vDSO and the like have in common.
    """

    def __init__(self, layout: Layout, level: int) -> None:
        self.layout = layout
        self.level = level
        self.texts: dict[tuple[int, int], str] = {}
        self.special_ops = 0
        self.possible_cpus = _possible_cpus()
        self._memory: KernelMemory | None = None
        self._words = {bit: word for bit, word in enumerate(_WORDS) if word}
        self._keys: dict[str, dict[int, int]] = {}
        self._names: dict[int, str] = {}

    def forget(self) -> None:
        """Begins another observation: what was at an address may be another object by now."""
        self.texts.clear()
        self._keys.clear()

    @property
    def memory(self) -> KernelMemory:
        """The reader of kernel memory, loaded when it is first needed."""
        if self._memory is None:
            from .memory import KernelMemory

            self._memory = KernelMemory()
        return self._memory

    def keys(self, kind: str) -> dict[int, int]:
        """Addresses of one kind of object met so far, numbered; 0 is no object."""
        return self._keys.setdefault(kind, {0: 0})

    def vm_words(self, flags: int) -> str | Missing:
        """VmFlags as smaps writes them."""
        words = [self._words.get(bit) for bit in range(64) if flags >> bit & 1]
        return MISSING if None in words else " ".join(filter(None, words))

    def learn(self, flags: int, words: str) -> bool:
        """Compares a mapping of ours with smaps and learns a bit that is new; False when they contradict."""
        unknown = [bit for bit in range(64) if flags >> bit & 1 and bit not in self._words]
        expected = words.split()
        known = [self._words[bit] for bit in range(64) if flags >> bit & 1 and bit in self._words]
        left = [word for word in expected if word not in known]
        if len(unknown) == 1 and len(left) <= 1:
            self._words[unknown[0]] = left[0] if left else ""
            return True
        return not (set(known) - set(expected)) and (bool(unknown) or not left)

    def names(self, special: int) -> str:
        """The name of a special mapping: the string that the first word of its description points to."""
        if special not in self._names:
            [pointer] = self.memory.read([(special + self.layout.places["vm_special_mapping", "name"].offset, 8)])
            [raw] = self.memory.read([(int.from_bytes(pointer, "little"), 16)])
            self._names[special] = raw.partition(b"\0")[0].decode("ascii", "replace")
        return self._names[special]


def _possible_cpus() -> int:
    with open("/sys/devices/system/cpu/possible", "rb") as file:
        last = file.read().replace(b"-", b",").split(b",")[-1]
    return (2 << int(last)) - 1
