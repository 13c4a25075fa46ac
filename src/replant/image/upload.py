"""An image that is written to a URL: made here, in a temporary directory, and sent when it is whole."""

from __future__ import annotations

import os

from replant.image import place
from replant.image.container import ImageWriter
from replant.image.remote import Remote, staging


class Upload(ImageWriter):
    """As `ImageWriter`, whose ``path`` is a URL."""

    def refuse_foreign(self) -> None:
        """See `replant.image.remote.Remote`."""
        Remote(self.path).refuse_foreign()

    def claim(self) -> tuple[str, int]:
        """See `ImageWriter`."""
        return place.claim_partial(f"{staging()}/image")

    def publish(self, durable: bool) -> None:
        """Send it. What is there has its name, and is as safe as that place makes it."""
        Remote(self.path).publish(self._partial)
        self.abort()

    def abort(self) -> None:
        """Remove everything that is here."""
        super().abort()
        folder = os.path.dirname(self._partial)
        if folder and os.path.isdir(folder):
            os.rmdir(folder)
