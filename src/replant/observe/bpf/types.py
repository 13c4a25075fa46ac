"""A BTF under construction: the description of structures and functions that a program of ours brings along."""

from __future__ import annotations

from struct import pack

from ...abi import bpf, btf
from .kernel import INTS, Member


class Types:
    """A BTF under construction: types are numbered from 1, strings are one blob."""

    def __init__(self) -> None:
        self.strings = bytearray(b"\0")
        self.types = bytearray()
        self.count = 0
        self.known: dict[object, int] = {}

    def string(self, text: str) -> int:
        """Adds a string; gives its offset."""
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(self, kind: int, name: str = "", size: int = 0, vlen: int = 0, more: bytes = b"") -> int:
        """Adds a type, with what follows its header; gives its number."""
        self.types += pack(btf.TYPE, self.string(name) if name else 0, kind << 24 | vlen, size) + more
        self.count += 1
        return self.count

    def of(self, member: Member) -> int:
        """The type of a member; the relocator only compares kinds, so ``void *`` does for every pointer."""
        key = (member.pointer, member.array, "struct" if member.type not in INTS else member.type)
        if key not in self.known:
            self.known[key] = self._make(member)
        return self.known[key]

    def _make(self, member: Member) -> int:
        if member.array:
            element = self.of(member._replace(array=False))
            return self.add(btf.KIND_ARRAY, more=pack(btf.ARRAY, element, self.of(INT), 1))
        if member.pointer:
            return self.add(btf.KIND_PTR)
        if member.type == "enum":
            some = pack(btf.ENUMERATOR, self.string("VALUE"), 0)
            return self.add(btf.KIND_ENUM, size=INTS["enum"], vlen=1, more=some)
        if member.type in INTS:
            size = INTS[member.type]
            return self.add(btf.KIND_INT, member.type, size, more=pack(btf.INT_ENCODING, size * 8))
        return self.add(btf.KIND_STRUCT)

    def structure(self, name: str, members: list[Member]) -> int:
        """A structure all of whose members are at offset 0."""
        made = [self._named(m) for m in members]
        fields = b"".join([pack(btf.MEMBER, text, kind, 0) for text, kind in made])
        return self.add(btf.KIND_STRUCT, name, 8, len(members), fields)

    def _named(self, member: Member) -> tuple[int, int]:
        """The name and the type of a member; ``outer.inner`` is one of a structure without a name."""
        outer, _, inner = member.name.rstrip("'").partition(".")
        kind = self.structure("", [member._replace(name=inner)]) if inner else self.of(member)
        return self.string(outer), kind

    def function(self, offset: int, name: str, linkage: int) -> bytes:
        """A function without parameters to speak of, as a record of func_info for the instruction at ``offset``."""
        proto = self.add(btf.KIND_FUNC_PROTO, size=self.of(INT))
        return pack(bpf.FUNC_INFO, offset, self.add(btf.KIND_FUNC, name, proto, linkage))

    def blob(self) -> bytes:
        """The whole, as BPF_BTF_LOAD takes it."""
        sizes = (0, len(self.types), len(self.types), len(self.strings))
        return pack(btf.HEADER, btf.MAGIC, btf.VERSION, 0, btf.HEADER_SIZE, *sizes) + self.types + self.strings


INT = Member("", "s32", False, False)
