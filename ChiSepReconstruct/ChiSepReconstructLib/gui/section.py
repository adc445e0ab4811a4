"""A part of the panel."""

from __future__ import annotations

from typing import Any


class Section:
    """Shows a part of the parameters and takes what the user changes.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : ChiSepReconstructLogic
        Starts what the part needs.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui, self.logic = ui, logic
        self.given: Any = None
        self.build()

    def build(self) -> None:
        """Fill and connect the widgets; called once."""

    def show(self, given: Any) -> None:
        """Show parameters; ``None`` while the panel is not connected to a scene."""
        self.given = given
        if given is not None:
            self.update()

    def update(self) -> None:
        """Show the parameters that are there."""

    def keep(self, name: str, value: Any) -> None:
        """Keep what the user chose, if there is a scene to keep it in."""
        if self.given is not None and getattr(self.given, name) != value:
            setattr(self.given, name, value)

    @staticmethod
    def say(label: Any, text: str) -> None:
        """Show a text, or no label at all where there is nothing to say."""
        label.text = text
        label.visible = bool(text)

    def close(self) -> None:
        """Stop what runs."""
