"""Where members are: offsets, sizes and bit fields of kernel structures, told by the kernel itself.

A program is loaded whose every ``mov`` is to be relocated by the kernel's CO-RE code (the one that serves compiled
programs), and run once: it writes the relocated numbers to a map. For the relocator the structures are described in
a BTF of our own, in which all members stand at offset 0: a relocation tells the kernel the local value as well,
and this keeps it 0 (1 for "exists").
"""

from __future__ import annotations

from struct import pack, unpack_from

from ...abi import bpf, btf
from . import asm, calls
from .kernel import CAST, INTS, OPAQUE, Layout, Member, Place, declared
from .types import Types


class _Questions:
    """The program that asks: every answer is a 64-bit number at its own place in the map's one value.

    answers, 8 bytes each | names of functions, NUL-terminated
    """

    def __init__(self) -> None:
        self.types = Types()
        self.code = asm.Code()
        self.relocations = bytearray()
        self.answers = 0
        self.memory = calls.Memory(1 << 15)
        self.names_at = 1 << 14
        self.code.map_value(asm.R6, self.memory.handle.fd)

    def ask(self, type_id: int, access: int, kind: int, local: int = 0) -> int:
        """One question to the relocator; gives the number of its answer."""
        self.relocations += pack(bpf.CORE_RELO, len(self.code) * 8, type_id, access, kind)
        self.code.set(asm.R1, local)
        return self._answer(asm.R1)

    def member(self, type_id: int, index: int, member: Member) -> tuple[int, ...]:
        """Exists, offset, and what the type needs: a size, or the shifts of a bit field."""
        access = self.types.string(f"0:{index}:0" if "." in member.name else f"0:{index}")
        skip = f"{type_id}:{index}"
        answers = [self.ask(type_id, access, bpf.CORE_FIELD_EXISTS, 1)]
        # an instruction that cannot be relocated is poisoned: it must not be reachable
        self.code.jump(skip, bpf.JEQ_K, asm.R1)
        answers.append(self.ask(type_id, access, bpf.CORE_FIELD_BYTE_OFFSET))
        if member.type == "bit":
            answers.append(self.ask(type_id, access, bpf.CORE_FIELD_LSHIFT_U64, 32))
            answers.append(self.ask(type_id, access, bpf.CORE_FIELD_RSHIFT_U64, 32))
        elif not member.pointer and (member.array or member.type in INTS):
            answers.append(self.ask(type_id, access, bpf.CORE_FIELD_BYTE_SIZE, _local_size(member)))
        self.code.label(skip)
        return tuple(answers)

    def function(self, name: str) -> int:
        """The BTF id of a function of the kernel."""
        raw = name.encode() + b"\0"
        self.memory.view[self.names_at : self.names_at + len(raw)] = raw
        self.code.map_value(asm.R1, self.memory.handle.fd, self.names_at)
        for register, value in ((asm.R2, len(raw)), (asm.R3, btf.KIND_FUNC), (asm.R4, 0)):
            self.code.set(register, value)
        self.code.call(bpf.FUNC_BTF_FIND_BY_NAME_KIND)
        self.names_at += len(raw)
        return self._answer(asm.R0)

    def _answer(self, register: int) -> int:
        self.code.store(8, asm.R6, self.answers * 8, register)
        self.answers += 1
        return self.answers - 1

    def run(self) -> tuple[int, ...]:
        """Loads and runs the program once."""
        self.code.leave()
        entry = self.types.function(0, "ask", btf.FUNC_GLOBAL)
        program = calls.prog_load(
            self.code.assemble(),
            bpf.PROG_TYPE_SYSCALL,
            flags=bpf.F_SLEEPABLE,
            btf=calls.btf_load(self.types.blob()),
            relocations=bytes(self.relocations),
            # without function info the kernel takes no notice of a program's BTF, nor of relocations
            functions=entry,
        )
        calls.prog_run(program)
        return unpack_from(f"={self.answers}q", self.memory.view)


def _local_size(member: Member) -> int:
    return 8 if member.pointer else INTS.get(member.type, 0)


def ask(functions: tuple[str, ...] = ()) -> Layout:
    """Asks the running kernel for every declared member and for the ids of some functions, 0 where one is of no use.

    :raises OSError: the kernel has no BTF, or does not let the caller load programs.
    """
    structures = declared()
    questions = _Questions()
    asked: dict[tuple[str, str], tuple[int, ...]] = {}
    sizes: dict[str, int] = {}
    for name, members in structures.items():
        type_id = questions.types.structure(name, list(members.values()))
        for index, member in enumerate(members.values()):
            asked[name, member.name] = questions.member(type_id, index, member)
        sizes[name] = questions.ask(type_id, questions.types.string("0"), bpf.CORE_TYPE_SIZE, 8)
    ids = {name: questions.function(name) for name in functions}
    answers = questions.run()
    found = {name: answers[at] for name, at in ids.items()}
    if CAST in found and not _shows_memory(found[CAST]):
        found[CAST] = 0
    return Layout(
        {
            key: _place(structures[key[0]][key[1]], [answers[at] for at in where])
            for key, where in asked.items()
            if answers[where[0]]
        },
        {name: answers[at] for name, at in sizes.items()},
        found,
    )


def _shows_memory(function: int) -> bool:
    """Whether the verifier lets programs read what the function returns: since Linux 6.17, where there is a JIT."""
    code = asm.Code()
    code.set(asm.R1, 0)
    code.set(asm.R2, 0)
    code.kernel_call(function)
    code.load(8, asm.R1, asm.R0)
    code.leave()
    try:
        calls.prog_load(code.assemble(), bpf.PROG_TYPE_SYSCALL, flags=bpf.F_SLEEPABLE)
    except OSError:
        return False
    return True


def _place(member: Member, answers: list[int]) -> Place:
    if member.type == "bit":
        return Place(answers[1], 4, (answers[2], answers[3]))
    size = answers[2] if len(answers) > 2 else 8 if member.pointer else OPAQUE.get(member.type, 0)
    return Place(answers[1], size, (0, 0))
