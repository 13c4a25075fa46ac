"""sigactions: handler, flags, mask and restorer of every signal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from task_child import Child, again, read

from replant.abi import x86_64 as nr
from replant.abi.call import Answer
from replant.abi.sigaction import DEFAULT, SA_RESTORER, SIGACTION
from replant.resources.task import sigactions
from replant.resources.task.sigactions import Action, State

ACTIONS = (
    Action(1, 1, 0, 0, 0),
    Action(5, 0x401000, SA_RESTORER | 0x4, 0x402000, 1 << 9),  # SIGTRAP with SA_SIGINFO
    Action(17, 0, 0x2, 0, 0),  # default, but SA_NOCLDWAIT
    Action(64, 0x401000, SA_RESTORER | 0x90000000, 0x402000, 0xFFFFFFFFFFFBFEFF),
)


def test_round_trip() -> None:
    with Child() as child:
        for a in ACTIONS:
            data = SIGACTION.pack(a.handler, a.flags, a.restorer, a.mask)
            assert child.call(nr.rt_sigaction, a.signal, data, 0, 8).ret == 0
        assert read(sigactions, child) == State(ACTIONS)
    assert again(sigactions, State(ACTIONS)) == State(ACTIONS)


def test_none() -> None:
    with Child() as child:
        assert read(sigactions, child) is None


@given(st.dictionaries(st.integers(0, 61), st.tuples(*[st.integers(0, 2**64 - 1)] * 4), max_size=5))
def test_every_value_is_kept_as_it_is(chosen: dict[int, tuple[int, int, int, int]]) -> None:
    answers = [Answer(0, [SIGACTION.pack(*chosen[n]) if n in chosen else DEFAULT]) for n in range(62)]
    state = sigactions.read(None, answers)  # type: ignore[arg-type]
    kept = {a.signal: tuple(a)[1:] for a in state.actions} if state else {}
    signals = [call.args[0] for call in sigactions.ASKS]
    assert kept == {signals[n]: values for n, values in chosen.items() if any(values)}
