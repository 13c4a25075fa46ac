"""The Linux domains: the process tree and what hangs from its tasks."""

from __future__ import annotations
