"""``python -m replant`` is the command."""

from __future__ import annotations

from replant.cli.main import run

run()
