"""The journal: every event of a run, packed as it happens, formatted when somebody reads.

Writing is light to import; reading (``replant.journal.reader`` and its neighbours) is imported where it is used.
"""

from __future__ import annotations

from replant.journal.lane import Lane
from replant.journal.sites import DEBUG, ERROR, INFO, WARNING, site
from replant.journal.writer import NULL, Journal, current, forked, use

__all__ = ["DEBUG", "ERROR", "INFO", "NULL", "WARNING", "Journal", "Lane", "current", "forked", "site", "use"]
