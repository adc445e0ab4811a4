"""Keys of the tab "Lesions", which work wherever the focus is in the main window, as over the views.

All have Alt: the Segment Editor takes plain digits and letters, Slicer's menus Alt with F, E, V and H.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer

#: Keys of the five grades, brightest first, for each map.
GRADE_KEYS = {
    "chi_para": ("Alt+1", "Alt+2", "Alt+3", "Alt+4", "Alt+5"),
    "chi_dia": ("Alt+6", "Alt+7", "Alt+8", "Alt+9", "Alt+0"),
}
NEXT, PREVIOUS, NEXT_UNGRADED = "Alt+Down", "Alt+Up", "Alt+Right"
UNDO, REDO = "Alt+Z", "Alt+Y"
FLICKER, OUTLINES, REFERENCE = "Alt+X", "Alt+O", "Alt+W"
CONFIDENCE, COMMENT = "Alt+C", "Alt+M"


class Shortcuts:
    """Connects keys while the tab is open.

    Parameters
    ----------
    panel : QWidget
        Where the keys work if there is no main window.
    actions : mapping of str to callable
        What each key does.
    """

    def __init__(self, panel: Any, actions: Mapping[str, Callable[[], None]]) -> None:
        self._panel, self._actions = panel, actions
        self._installed: list[Any] = []

    def install(self) -> None:
        """Take the keys; again changes nothing."""
        if self._installed:
            return
        parent = slicer.util.mainWindow() or self._panel
        for key, action in self._actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            shortcut.autoRepeat = False
            shortcut.connect("activated()", action)
            self._installed.append(shortcut)

    def remove(self) -> None:
        """Leave the keys to others."""
        for shortcut in self._installed:
            shortcut.enabled = False  # at once; the object goes with the next pass of the event loop
            shortcut.deleteLater()
        self._installed.clear()
