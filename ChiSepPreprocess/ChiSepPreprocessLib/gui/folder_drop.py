"""A folder that is dropped on a panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt


class FolderDrop(qt.QObject):  # type: ignore[misc]
    """Takes a folder or file that is dropped on a widget.

    Parameters
    ----------
    widget : QWidget
        Receives the drop; fields in it must not take it for text, so they are told to leave drops to it.
    take : callable
        Receives the path.
    """

    def __init__(self, widget: Any, take: Callable[[str], None]) -> None:
        qt.QObject.__init__(self)
        self._take = take
        widget.acceptDrops = True
        for field in widget.findChildren("QLineEdit"):
            field.acceptDrops = False
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Accept what is one path on this computer."""
        if event.type() not in (qt.QEvent.DragEnter, qt.QEvent.Drop):
            return False
        path = _path(event.mimeData())
        if not path:
            return False
        event.acceptProposedAction()
        if event.type() == qt.QEvent.Drop:
            self._take(path)
        return True


def _path(data: Any) -> str:
    """Path of the one thing that is dragged; empty if it is no file or folder, or several."""
    urls = list(data.urls()) if data.hasUrls() else []
    path = str(urls[0].toLocalFile()) if len(urls) == 1 else ""
    return path if path and Path(path).exists() else ""
