"""``slicer.app``, ``slicer.modules`` and the main window."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer

from .layout import qSlicerLayoutManager
from .mrml_widgets import qSlicerWidget
from .pythonqt import emulated, qt
from .raw_qt import QtCore
from .widget_parts import stored

REPOSITORY = Path(__file__).resolve().parents[2]
CAPTION = "test host, not 3D Slicer"


@emulated
class qSlicerModuleManager(qt.QObject):  # type: ignore[misc]  # noqa: N801
    """Knows the modules."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)  # noqa: N815
    moduleLoaded = QtCore.Signal(str)  # noqa: N815

    def module(self, name: str) -> Any:
        """Give a module, ``None`` if there is none of that name."""
        return vars(slicer.modules).get(name.lower())

    def modulesNames(self) -> tuple[str, ...]:  # noqa: N802
        """Give the modules' names."""
        return tuple(one.name for one in vars(slicer.modules).values())


@emulated
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):  # noqa: N801
    """What Slicer hands to a module's widget class as its parent."""

    def __init__(self, name: str) -> None:
        qSlicerWidget.__init__(self)
        self._entered, self._module_name = False, name
        self.setLayout(qt.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)

    isEntered = QtCore.Property(bool, lambda self: self._entered)  # noqa: N815
    moduleName = QtCore.Property(str, lambda self: self._module_name)  # noqa: N815


@emulated
class qSlicerApplication(qt.QApplication):  # type: ignore[misc]  # noqa: N801
    """The application; Qt allows one in a process, so each host hands its own parts over."""

    startupCompleted = QtCore.Signal()  # noqa: N815
    _parts: Any = None

    slicerHome = stored(str, tempfile.gettempdir())  # noqa: N815
    temporaryPath = stored(str, tempfile.gettempdir())  # noqa: N815
    cachePath = stored(str, tempfile.gettempdir())  # noqa: N815
    majorVersion = stored(int, 5)  # noqa: N815
    minorVersion = stored(int, 12)  # noqa: N815
    revision = stored(str, "0")
    os = stored(str, "linux")
    arch = stored(str, "amd64")

    def mrmlScene(self) -> Any:  # noqa: N802
        """Give the scene."""
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:  # noqa: N802
        """Give the application's logic."""
        return self._parts.application_logic

    def moduleManager(self) -> Any:  # noqa: N802
        """Give what knows the modules."""
        return self._parts.module_manager

    def moduleLogic(self, name: str) -> Any:  # noqa: N802
        """Give a module's logic."""
        return self._parts.application_logic.GetModuleLogic(name)

    def layoutManager(self) -> Any:  # noqa: N802
        """Give what arranges the views."""
        return self._parts.layout_manager

    def settings(self) -> Any:
        """Give the user's settings."""
        return qt.QSettings()

    def userSettings(self) -> Any:  # noqa: N802
        """Give the user's settings."""
        return qt.QSettings()

    def testingEnabled(self) -> bool:  # noqa: N802
        """Say that a user is there, so that what is for users runs."""
        return False

    def pauseRender(self) -> None:  # noqa: N802
        """Do nothing: views are drawn when they are looked at."""

    def resumeRender(self) -> None:  # noqa: N802
        """Do nothing."""


class MainWindow:
    """Panel on the left, views on the right.

    Parameters
    ----------
    application_logic : vtkSlicerApplicationLogic
        Of the scene.
    """

    def __init__(self, application_logic: Any) -> None:
        self.application_logic = application_logic
        self.module_manager = qSlicerModuleManager()
        self.window = qt.QMainWindow()
        self.window.objectName = "qSlicerMainWindow"
        self.window.windowTitle = CAPTION
        self.layout_manager: Any = None
        self._title = qt.QLabel(CAPTION)
        self.panel = self._make_panel()
        self._viewport = qt.QWidget()
        self.window.setCentralWidget(self._viewport)
        self.window.statusBar()
        self.window.resize(1280, 860)

    def _make_panel(self) -> Any:
        dock, scroll, inner = qt.QDockWidget(), qt.QScrollArea(), qt.QWidget()
        dock.objectName = "PanelDockWidget"
        dock.windowTitle = CAPTION
        layout = qt.QVBoxLayout(inner)
        layout.addWidget(self._title)
        layout.addStretch(1)
        scroll.widgetResizable = True
        scroll.minimumWidth = 430
        scroll.setWidget(inner)
        dock.setWidget(scroll)
        self.window.addDockWidget(qt.Qt.LeftDockWidgetArea, dock)
        return layout

    def show_panel(self, widget: Any, title: str) -> None:
        """Put a module's widget into the panel, above the stretch."""
        if self.panel.indexOf(widget) < 0:
            self.panel.insertWidget(self.panel.count() - 1, widget, 10)
        self._title.text = f"{title}  ({CAPTION})"
        widget.show()
        self.window.show()

    def add_views(self) -> None:
        """Make the views, which are drawn only once they are shown; needs ``slicer.app``."""
        self._viewport.hide()
        self.layout_manager = qSlicerLayoutManager(self._viewport)

    def show_views(self) -> None:
        """Have the views drawn, in the layout that the scene's layout node names."""
        self._viewport.show()
        self.layout_manager._follow_node()

    def close(self) -> None:
        """Let go of the scene and of all widgets."""
        self.layout_manager._close()
        self.window.hide()
        self.window.delete()


_applications: list[Any] = []


def the_application() -> Any:
    """Give the one application of this process; its settings are empty and go with the process."""
    if not _applications:
        folder = tempfile.mkdtemp(prefix="chisep-host-")
        _applications.append(qSlicerApplication(["Slicer"]))
        _applications[0].setApplicationName("Slicer")
        _applications[0].setOrganizationName("test host")
        _applications[0].setStyle("Fusion")
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, folder)
    return _applications[0]


def declared_module(name: str) -> Any:
    """What ``slicer.modules`` holds for one of our modules."""
    return SimpleNamespace(name=name, title=name, path=str(REPOSITORY / name / f"{name}.py"))


def module_with_logic(name: str, logic: Any) -> Any:
    """What ``slicer.modules`` holds for one of Slicer's own modules."""
    return SimpleNamespace(name=name, title=name, path="", logic=lambda: logic)
