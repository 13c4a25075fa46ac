"""Derivations: from a graph of objects and the rules that make it, to the sequence of rules that makes the graph."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .linux.process_tree import Derivation as Derivation
    from .linux.process_tree import process_tree as process_tree
    from .linux.target import Outside as Outside

_HOMES = {
    "Derivation": "linux.process_tree",
    "Outside": "linux.target",
    "process_tree": "linux.process_tree",
}

__all__ = ["Derivation", "Outside", "process_tree"]


def __getattr__(name: str) -> object:
    """Import what is asked for, when it is asked for: start-up is part of restore's speed."""
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
