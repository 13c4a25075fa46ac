"""The table of all facts for the documentation, out of their declarations."""

from __future__ import annotations

from .facts import File, Task, Vma
from .field import Field, fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .record import Record


def table() -> Iterator[str]:
    """Lines of Markdown: for each kind of fact its fields, what they mean, and where each source has them."""
    for facts in (Task, Vma, File):
        yield from ("", f"### {facts.__name__}", "", "| field | meaning | kernel | procfs |", "|---|---|---|---|")
        for name, field in fields_of(facts).items():
            yield f"| `{name}` | {field} | {_kernel(facts, field)} | {f'`{field.procfs}`' if field.procfs else ''} |"


def _kernel(facts: type[Record], field: Field) -> str:
    return "<br>".join(f"`{chain.replace('|', 'or')}`" for chain in field.kernel)
