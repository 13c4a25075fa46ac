"""Derivations: from a graph of objects and the rules that make it, to the sequence of rules that makes the graph."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .linux.explain import explain as explain
    from .linux.process_tree import Derivation as Derivation
    from .linux.process_tree import process_tree as process_tree
    from .linux.render import render_text as render_text
    from .linux.render import to_dot as to_dot
    from .linux.render import to_svg as to_svg
    from .linux.target import Outside as Outside
    from .solver import solve as solve

_HOMES = {
    "Derivation": "linux.process_tree",
    "Outside": "linux.target",
    "explain": "linux.explain",
    "process_tree": "linux.process_tree",
    "render_text": "linux.render",
    "solve": "solver",
    "to_dot": "linux.render",
    "to_svg": "linux.render",
}

__all__ = ["Derivation", "Outside", "explain", "process_tree", "render_text", "solve", "to_dot", "to_svg"]


def __getattr__(name: str) -> object:
    """Import what is asked for, when it is asked for: start-up is part of restore's speed."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(__import__(f"{__name__}.{home}", fromlist=[name]), name)
    return value
