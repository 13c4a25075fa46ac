"""Rules: what can be done, when, and what follows; declared once and executed as they stand.

A rule has a name, conditions in the order in which they are checked, and an effect on a state. The simulator, the
differential tests and the search for impossibilities all run these same declarations: a rule that says something else
than the system it describes is found out by the tests.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    Step = tuple[Any, ...]


class Condition:
    """One precondition: ``test(state, actor, *arguments)`` holds, or the rule fails with ``verdict``."""

    __slots__ = ("says", "test", "verdict")

    def __init__(self, says: str, verdict: str, test: Callable[..., object]) -> None:
        self.says = says
        self.verdict = verdict
        self.test = test

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.says}"


class Rule:
    """A rule: ``effect(state, actor, *arguments)`` may run when every condition holds."""

    __slots__ = ("conditions", "effect", "name")

    def __init__(self, name: str, conditions: Iterable[Condition], effect: Callable[..., None]) -> None:
        self.name = name
        self.conditions = tuple(conditions)
        self.effect = effect

    def without(self, number: int) -> Rule:
        """The rule with one condition dropped: for tests that must notice."""
        return Rule(self.name, self.conditions[:number] + self.conditions[number + 1 :], self.effect)


class Refusal(Exception):
    """A step that the rules do not allow: its position, the step, and the condition it breaks."""

    def __init__(self, position: int, step: Step, condition: Condition) -> None:
        super().__init__(f"step {position} {step!r}: {condition!r}")
        self.position = position
        self.step = step
        self.condition = condition


def attempt(state: object, rules: Mapping[str, Rule], step: Step) -> Condition | None:
    """Do one step ``(actor, rule, *arguments)`` if it is allowed; :return: the condition it breaks, if any."""
    rule = rules[step[1]]
    actor, arguments = step[0], step[2:]
    for condition in rule.conditions:
        if not condition.test(state, actor, *arguments):
            return condition
    rule.effect(state, actor, *arguments)
    return None


def simulate(state: object, rules: Mapping[str, Rule], steps: Iterable[Step]) -> None:
    """Do all ``steps`` to ``state``.

    :raises Refusal: at the first step that is not allowed; the state is as that step found it.
    """
    ready = {name: (tuple((c.test, c) for c in rule.conditions), rule.effect) for name, rule in rules.items()}
    for position, step in enumerate(steps):
        conditions, effect = ready[step[1]]
        actor, arguments = step[0], step[2:]
        for test, condition in conditions:
            if not test(state, actor, *arguments):
                raise Refusal(position, step, condition)
        effect(state, actor, *arguments)
