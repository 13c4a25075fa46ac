"""Draws what :mod:`run` measured: ``python bench/observe/plot.py RESULTS.json OUT.svg``; no library, one SVG."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator

LEFT, WIDTH, ROW, GAP = 250, 520, 18, 34
COLOURS = {"BPF": "#1a7f5a", "psutil": "#b0413e", "plain text": "#c9803c", "procfs": "#3d6fb4"}
OTHER = "#8a8a8a"


def colour(way: str) -> str:
    """By the first word that is known, so that variants look alike."""
    return next((c for word, c in COLOURS.items() if way.startswith(word)), OTHER)


def draw(results: dict[str, dict[str, object]]) -> Iterator[str]:
    """Bars of CPU time on a logarithmic axis from 0.1 ms to 10 s, a group for each case."""
    cases = {case: result for case, result in results.items() if "ways" in result}
    rows = sum(len(result["ways"]) for result in cases.values())  # type: ignore[arg-type]
    height = rows * ROW + len(cases) * GAP + 40
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
    yield 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    for power in range(-1, 5):
        x = LEFT + (power + 1) * WIDTH / 5
        yield f'<line x1="{x}" y1="10" x2="{x}" y2="{height - 25}" stroke="#dddddd"/>'
        yield f'<text x="{x}" y="{height - 8}" text-anchor="middle">{10**power:g} ms</text>'
    y = 10
    for result in cases.values():
        y += GAP
        yield f'<text x="10" y="{y - 8}" font-weight="bold">{result["title"]}</text>'
        ways: dict[str, dict[str, float]] = result["ways"]  # type: ignore[assignment]
        for name, way in ways.items():
            length = max(1.0, (math.log10(way["cpu_ms"]) + 1) * WIDTH / 5)
            yield f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
            yield f'<rect x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{ROW - 5}" fill="{colour(name)}"/>'
            yield f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{way["cpu_ms"]:.3g}</text>'
            y += ROW
    yield "</svg>"


def main() -> None:
    source, out = sys.argv[1:]
    with open(source) as file:
        results = json.load(file)
    with open(out, "w") as file:
        file.write("\n".join(draw(results)) + "\n")


if __name__ == "__main__":
    main()
