"""docs/resources.md says what the kinds and the ledger say."""

from __future__ import annotations

import resources_page


def test_the_page_is_up_to_date() -> None:
    written = (resources_page.ROOT / "docs" / "resources.md").read_text()
    assert written == resources_page.page(), "python tests/meta/resources_page.py > docs/resources.md"
