"""mm: bounds and auxiliary vector, as procfs shows them; the executable stays where none is given."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from task_child import Child, make, read

from replant.abi import x86_64 as nr
from replant.abi.mm import auxv_end
from replant.observe import procfs
from replant.resources.task import mm
from replant.resources.task.mm import State


class Restore:
    """Places data inside a child; gives descriptor ``exe``."""

    def __init__(self, child: Child, exe: int = -1) -> None:
        self.child, self.exe = child, exe

    def place(self, data: bytes) -> int:
        at = self.child.call(nr.mmap, 0, 4096, 3, 0x22, -1, 0).ret
        with open(f"/proc/{self.child.pid}/mem", "wb", buffering=0) as memory:
            os.pwrite(memory.fileno(), data, at)
        return at

    def exe_fd(self, tid: int) -> int:
        assert tid == self.child.pid
        return self.exe


def changed(state: State) -> State:
    """The same process with another title, environment, heap and one more entry of its own in the vector."""
    auxv = state.auxv[:-16] + (0x7777).to_bytes(8, "little") + (42).to_bytes(8, "little") + bytes(16)
    return state._replace(
        arg_end=state.arg_start + 9,
        env_start=state.env_start + 1,
        brk=state.brk + 4096,
        start_code=4096 * 16,
        auxv=auxv,
    )


def test_read_is_what_proc_says() -> None:
    with Child() as child:
        state = read(mm, child)
        with open(f"/proc/{child.pid}/auxv", "rb") as file:
            assert file.read().startswith(state.auxv)
        assert state.auxv[-16:-8] == bytes(8)


def test_round_trip() -> None:
    with Child() as child:
        before = read(mm, child)
        wanted = changed(before)
        child_brk = wanted.brk
        make(mm, wanted, child, Restore(child))
        after = read(mm, child)
        assert after == wanted
        assert after != before
        assert child.call(nr.brk, 0).ret == child_brk
        assert (0x7777, 42) in procfs.auxv(child.pid)
        assert len(procfs.cmdline(child.pid)) == 9
        assert os.readlink(f"/proc/{child.pid}/exe") == os.readlink("/proc/self/exe")


def test_same_lets_the_heap_move() -> None:
    with Child() as child:
        state = read(mm, child)
    assert list(mm.same(state, state._replace(brk=state.brk + 4096), 0)) == []
    assert len(list(mm.same(state, changed(state), 0))) == 4


@given(st.lists(st.tuples(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1))), st.binary(max_size=15))
def test_end_of_a_vector(pairs: list[tuple[int, int]], rest: bytes) -> None:
    data = b"".join(a.to_bytes(8, "little") + b.to_bytes(8, "little") for a, b in pairs)
    assert auxv_end(data + bytes(16) + bytes(64)) == len(data) + 16
    assert auxv_end(data + rest) == len(data)
