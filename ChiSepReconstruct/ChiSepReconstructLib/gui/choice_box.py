"""A combo box with words for people over values for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class ChoiceBox:
    """Fills a combo box and tells when the user chooses.

    Parameters
    ----------
    box : QComboBox
        Of the panel.
    chosen : callable
        Receives the value that the user chose.
    choices : mapping of str to str
        Words by value.
    """

    def __init__(self, box: Any, chosen: Callable[[str], None], choices: Mapping[str, str] | None = None) -> None:
        self.box, self._chosen = box, chosen
        self._choices: dict[str, str] = {}
        self._showing = False
        box.connect("currentIndexChanged(int)", self._on_changed)
        self.fill(choices or {})

    @property
    def value(self) -> str:
        """Value that is shown; empty if there is none."""
        values, index = list(self._choices), self.box.currentIndex
        return values[index] if 0 <= index < len(values) else ""

    def fill(self, choices: Mapping[str, str]) -> None:
        """Offer other choices; the shown one stays if it is among them."""
        if dict(choices) == self._choices:
            return
        shown, self._showing = self.value, True
        self._choices = dict(choices)
        self.box.clear()
        self.box.addItems(list(choices.values()))
        self.box.enabled = bool(choices)
        self._showing = False
        self.show(shown)

    def show(self, value: str) -> None:
        """Show a value; the first one in place of one that is not offered."""
        values, self._showing = list(self._choices), True
        self.box.currentIndex = values.index(value) if value in values else min(0, len(values) - 1)
        self._showing = False

    def _on_changed(self, index: int) -> None:
        if not self._showing and 0 <= index < len(self._choices):
            self._chosen(list(self._choices)[index])
