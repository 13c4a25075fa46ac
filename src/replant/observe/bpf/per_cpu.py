"""Where the memory of each CPU is: what has to be added to the address of a variable that every CPU has of its own.

Neither symbols nor type information of the kernel tell that everywhere. But a map with a value for each CPU is such a
variable: a program can ask for the value of any CPU, and the address without a CPU stands in the map itself.
"""

from __future__ import annotations

from struct import unpack_from

from ...abi import bpf
from . import calls
from .asm import R0, R1, R2, R3, R6, R10, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import KernelMemory


def offsets(count: int, reader: KernelMemory, pointers: int) -> tuple[int, ...]:
    """The offset of each of ``count`` CPUs; ``pointers`` is where a ``struct bpf_array`` has the first address.

    :raises OSError: the kernel does not let the caller load programs.
    """
    values = calls.map_create(bpf.MAP_TYPE_PERCPU_ARRAY, 4, 8, 1)
    memory = calls.Memory(8 * (count + 1))
    program = calls.prog_load(_code(values, memory, count).assemble(), bpf.PROG_TYPE_SYSCALL, flags=bpf.F_SLEEPABLE)
    calls.prog_run(program)
    array, *addresses = unpack_from(f"={count + 1}Q", memory.view)
    [raw] = reader.read([(array + pointers, 8)])
    return tuple([address - int.from_bytes(raw, "little") for address in addresses])


def _code(values: calls.Handle, memory: calls.Memory, count: int) -> Code:
    code = Code()
    code.map_value(R6, memory.handle.fd)
    code.map_fd(R1, values.fd)
    code.store(8, R6, 0, R1)
    code.set(R1, 0)
    code.store(4, R10, -4, R1)
    for cpu in range(count):
        code.map_fd(R1, values.fd)
        code.mov(R2, R10)
        code.add(R2, -4)
        code.set(R3, cpu)
        code.call(bpf.FUNC_MAP_LOOKUP_PERCPU_ELEM)
        code.store(8, R6, 8 * (cpu + 1), R0)
    code.leave()
    return code
