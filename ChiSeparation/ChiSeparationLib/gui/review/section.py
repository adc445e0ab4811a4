"""A part of the tab "Lesions"."""

from __future__ import annotations

from typing import Any

from ChiSepReconstructLib.gui.section import Section


class ReviewSection(Section):
    """Shows a part of the review and takes what the user does.

    Parameters
    ----------
    ui : object
        The tab's widgets by name.
    logic : Desk
        What is being read.
    """

    @property
    def desk(self) -> Any:
        """What is being read."""
        return self.logic

    def look(self) -> None:
        """Show another lesion; called in place of :meth:`update` where nothing else has changed."""

    def leave(self) -> None:
        """Let go of views and keys; called when the user leaves the tab."""
