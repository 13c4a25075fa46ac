"""``python -m replant`` is the command."""

from replant.cli.main import run

run()
