"""The quality page of a run, in the panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..errors import ChiSepError
from ..files import read_json

_PICTURE, _RECORD = "quality.png", "provenance.json"
_NARROWEST_PX = 280


class QualitySection:
    """Shows the picture of a run's quality with its warnings on top; a click opens it in full size.

    Parameters
    ----------
    ui : object
        The panel's widgets: ``qualityButton`` (the fold), ``qualityWarningsLabel``, ``qualityLabel``,
        ``qualityOpenButton``.
    """

    def __init__(self, ui: Any) -> None:
        self._ui, self._pixmap, self._window = ui, None, None
        ui.qualityOpenButton.connect("clicked()", self.open)
        self._click = _Click(ui.qualityLabel, self.open)
        self.clear()

    _pixmap: Any
    _window: Any

    def clear(self) -> None:
        """Show nothing."""
        self.close()
        self._pixmap = None
        self._ui.qualityLabel.clear()
        self._ui.qualityWarningsLabel.text = ""
        self._ui.qualityButton.visible = False

    def show(self, output: Path) -> None:
        """Show the page of a run, if it has one.

        Parameters
        ----------
        output : Path
            Folder of the run; it is not needed afterwards.
        """
        self.clear()
        picture = output / _PICTURE
        if not picture.is_file():
            return
        self._pixmap = qt.QPixmap(str(picture))
        width = max(self._ui.progressBar.width - 30, _NARROWEST_PX)
        self._ui.qualityLabel.setPixmap(self._pixmap.scaledToWidth(width, qt.Qt.SmoothTransformation))
        self._ui.qualityWarningsLabel.text = _as_list(_warnings(output)) or _("No limit is broken.")
        self._ui.qualityButton.visible = True

    def open(self) -> None:
        """Show the picture in full size, in a window of its own."""
        if self._pixmap is None:
            return
        self.close()
        label = qt.QLabel()
        label.setPixmap(self._pixmap)
        self._window = qt.QScrollArea()
        self._window.setWidget(label)
        self._window.windowTitle = _("Quality of the maps")
        self._window.resize(900, 700)
        self._window.show()

    def close(self) -> None:
        """Close the window of the full size."""
        if self._window is not None:
            self._window.close()
            self._window = None


class _Click(qt.QObject):  # type: ignore[misc]
    """Calls back when a widget is clicked."""

    def __init__(self, widget: Any, take: Any) -> None:
        qt.QObject.__init__(self)
        self._take = take
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Take clicks, leave everything else."""
        if event.type() == qt.QEvent.MouseButtonRelease:
            self._take()
            return True
        return False


def _warnings(output: Path) -> tuple[str, ...]:
    try:
        quality = read_json(output / _RECORD).get("quality")
    except ChiSepError:
        return ()
    found = quality.get("warnings") if isinstance(quality, dict) else None
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _as_list(texts: Sequence[str]) -> str:
    return "\n".join(f"⚠ {text}" for text in texts)
