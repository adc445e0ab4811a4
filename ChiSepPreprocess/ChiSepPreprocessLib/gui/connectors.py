"""Path fields that may be empty, for Slicer's parameter nodes.

Slicer connects a path edit to ``pathlib.Path`` only, whose empty value is shown as "."; here it is a plain ``str``.
"""

from __future__ import annotations

from typing import Any

import ctk
from slicer.parameterNodeWrapper import GuiConnector, parameterNodeGuiConnector


@parameterNodeGuiConnector
class PathLineEditToTextConnector(GuiConnector):  # type: ignore[misc]
    """Keeps a ``ctkPathLineEdit`` and a parameter of type ``str`` alike."""

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        """Whether this connector fits."""
        return type(widget) is ctk.ctkPathLineEdit and datatype is str

    @staticmethod
    def create(widget: Any, datatype: Any) -> PathLineEditToTextConnector | None:
        """Make one, or ``None`` if it does not fit."""
        fits = PathLineEditToTextConnector.canRepresent(widget, datatype)
        return PathLineEditToTextConnector(widget) if fits else None

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self._widget = widget

    def _connect(self) -> None:
        self._widget.connect("currentPathChanged(QString)", self._onPathChanged)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentPathChanged(QString)", self._onPathChanged)

    def _onPathChanged(self, path: str) -> None:
        self.changed()

    def widget(self) -> Any:
        """Give the path edit."""
        return self._widget

    def read(self) -> str:
        """Give the path as text."""
        return str(self._widget.currentPath)

    def write(self, value: str) -> None:
        """Show a path."""
        self._widget.currentPath = value
