"""The table of all facts for the documentation, out of their declarations."""

from __future__ import annotations

from .facts import File, Task, Vma
from .field import Field, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = ("| field | meaning | kernel | procfs | since |", "|---|---|---|---|---|")


def table() -> Iterator[str]:
    """Lines of Markdown: for each kind of fact its fields, what they mean, where each source has them, since when."""
    for facts in (Task, Vma, File):
        yield from ("", f"### {facts.__name__}", "", *_HEAD)
        for name, field in fields_of(facts).items():
            procfs = f"`{field.procfs}`" if field.procfs else ""
            yield f"| `{name}` | {field} | {_kernel(field)} | {procfs} | {field.since} |"


def _kernel(field: Field) -> str:
    return "<br>".join(f"`{chain.replace('|', 'or')}`" for chain in field.kernel)
