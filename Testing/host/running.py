"""The host itself: what a test drives, from opening a module's panel to closing it."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import slicer.util

from ChiSepPreprocessLib.scene.session import application_logic, close_session, logic, open_session

from . import parameter_nodes, problems, scripted, views
from .answers import Answers
from .application import (
    CAPTION,
    REPOSITORY,
    MainWindow,
    declared_module,
    module_with_logic,
    qSlicerScriptedLoadableModuleWidget,
    the_application,
)
from .ctk_widgets import ctk
from .mrml_widgets import WIDGETS
from .pythonqt import qt
from .segment_widgets import WIDGETS as SEGMENT_WIDGETS
from .signals import forget_connections
from .ui_files import QUiLoader as QUiLoader  # it takes its place in qt

MODULES = ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation")
_LOGICS = ("Colors", "Volumes", "Segmentations", "SubjectHierarchy", "Markups", "Models", "Tables", "Sequences")
_SLICER_CLASSES = {
    **WIDGETS, **SEGMENT_WIDGETS, "qMRMLSliceWidget": views.qMRMLSliceWidget,
    "qMRMLThreeDWidget": views.qMRMLThreeDWidget,
}  # fmt: skip
_ADDED: dict[str, Any] = {
    "qt": qt,
    "ctk": ctk,
    "slicer.parameterNodeWrapper": parameter_nodes.make_module(),
    **scripted.make_modules(),
}
_STEP_S = 0.005
#: A modal dialog that stays this long is closed and noted, ms.
_WATCH_MS = 100


class Host:
    """The application around a scene; see the package's docstring."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.app = the_application()
        self.window = MainWindow(application_logic(scene))
        self.user = Answers()
        self._opened: list[Any] = []
        self._is_down = False
        self._watchdog = qt.QTimer()
        self._watchdog.interval = _WATCH_MS
        self._watchdog.connect("timeout()", self._close_modal_dialog)

    # What went wrong, what was shown

    @property
    def problems(self) -> list[str]:
        """Give what went wrong so far."""
        return problems.CURRENT.found

    def expect_problem(self, part: str) -> str:
        """Take out the one problem that contains ``part``."""
        return problems.CURRENT.expect(part)

    @property
    def messages(self) -> list[tuple[str, str, str]]:
        """Give what the user was shown: kind, text, details."""
        return self.user.messages

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Give the errors that the user was shown: text, details."""
        return [(text, details) for kind, text, details in self.user.messages if kind == "error"]

    @property
    def answers(self) -> list[Any]:
        """Give what the user will answer."""
        return self.user.answers

    def _close_modal_dialog(self) -> None:
        dialog = self.app.activeModalWidget() or self.app.activePopupWidget()
        if dialog is not None:
            text = dialog.text if dialog.inherits("QMessageBox") else dialog.windowTitle
            problems.CURRENT.add(f"modal dialog: {type(dialog).__name__} '{text}'")
            dialog.close()

    # Time

    def process_events(self) -> None:
        """Let the event loop run once."""
        self.app.processEvents()
        self.app.sendPostedEvents(None, int(qt.QEvent.DeferredDelete))

    def wait_until(self, condition: Callable[[], Any], limit_s: float = 20.0) -> None:
        """Let the event loop run until a condition holds.

        Raises
        ------
        AssertionError
            If it does not within ``limit_s``.
        """
        stop_at_s = time.monotonic() + limit_s
        self.process_events()
        while not condition():
            assert time.monotonic() < stop_at_s, f"not reached within {limit_s} s; problems so far: {self.problems}"
            time.sleep(_STEP_S)
            self.process_events()

    # Panels

    def open(self, module: str, module_logic: Any = None) -> Any:
        """Open a module's panel, as when the user chooses the module.

        Parameters
        ----------
        module : str
            Name.
        module_logic : object, optional
            By default the widget makes its own.

        Returns
        -------
        object
            The module's widget, set up and entered.
        """
        file = importlib.import_module(module)
        parent = qSlicerScriptedLoadableModuleWidget(module)
        given = (parent,) if module_logic is None else (parent, module_logic)
        panel = getattr(file, f"{module}Widget")(*given)
        self._opened.append(panel)
        panel.setup()
        self.enter(panel)
        return panel

    def enter(self, panel: Any) -> None:
        """Enter a module as the user does."""
        panel.parent._entered = True
        panel.enter()
        self.window.show_panel(panel.parent, panel.moduleName)
        self.process_events()

    def exit(self, panel: Any) -> None:
        """Leave a module as the user does."""
        panel.parent._entered = False
        panel.exit()
        panel.parent.hide()
        self.process_events()

    def close(self, panel: Any) -> None:
        """Unload a module, as when Slicer reloads it or ends."""
        if panel not in self._opened:
            return
        if panel.parent.isEntered:
            self.exit(panel)
        self._opened.remove(panel)
        self.app.moduleManager().moduleAboutToBeUnloaded.emit(panel.moduleName)
        panel.parent.hide()
        panel.parent.deleteLater()
        self.process_events()

    def reload(self, module: str) -> Any:
        """Press Slicer's Reload: unload the module's panels, import its files again, open it."""
        for panel in [one for one in self._opened if one.moduleName == module]:
            self.close(panel)
        forget_modules((module,))
        return self.open(module)

    def press(self, key: str, widget: Any) -> None:
        """Press a key or a shortcut such as ``"Alt+1"`` on a widget."""
        from PySide6.QtTest import QTest

        combination = qt.QKeySequence(key)[0]
        widget.window().activateWindow()
        widget.setFocus()
        self.process_events()
        QTest.keyClick(widget, combination.key(), combination.keyboardModifiers())
        self.process_events()

    def show_views(self) -> None:
        """Draw the slice and 3D views from now on, which takes most of a second; ``grab`` does so itself."""
        self.window.show_views()
        self.window.window.show()
        self.process_events()

    def grab(self, path: Any, widget: Any = None) -> None:
        """Save a picture of the main window, or of one widget, with the caption that says what it is not."""
        self.show_views()
        self.process_events()
        picture = (widget or self.window.window).grab()
        painter = qt.QPainter(picture)
        painter.fillRect(qt.QRect(0, picture.height() - 18, picture.width(), 18), qt.QColor(255, 255, 200))
        painter.drawText(6, picture.height() - 5, CAPTION)
        painter.end()
        assert picture.save(str(path)), f"{path} was not written"

    def shut_down(self) -> None:
        """Close every panel and the window; again does nothing."""
        if self._is_down:
            return
        self._is_down = True
        for panel in list(self._opened):
            problems.guarded("cleanup", self.close)(panel)
        self._watchdog.stop()
        self.window.close()
        self.process_events()
        forget_connections()


def forget_modules(names: tuple[str, ...]) -> dict[str, Any]:
    """Have modules' files imported afresh; gives what was forgotten."""
    packages = tuple(f"{name}{part}" for name in names for part in ("", "Lib.gui"))
    inside = tuple(f"{package}." for package in packages)
    forgotten = [one for one in tuple(sys.modules) if one in packages or one.startswith(inside)]
    return {name: sys.modules.pop(name) for name in forgotten}


@contextmanager
def running_host(scene: Any = None) -> Iterator[Host]:
    """Let ``slicer`` be the application's around ``scene``, by default a fresh one, as long as the block lasts."""
    own = open_session().scene if scene is None else scene
    before = {name: getattr(slicer, name, None) for name in ("app", "mrmlScene", "modules", *_SLICER_CLASSES)}
    ours = _our_modules()
    with problems.collected():
        slicer.mrmlScene = own
        the_application()._parts = None
        host = _start(own)
        try:
            yield host
        finally:
            host.shut_down()
            _restore(before)
            _forget_reloaded(ours)
            if scene is None:
                close_session(own)


def _our_modules() -> dict[str, ModuleType]:
    return {name: module for name, module in tuple(sys.modules.items()) if name.startswith("ChiSep")}


def _forget_reloaded(before: dict[str, ModuleType]) -> None:
    """Take back what a reload put in place of the files that other tests have imported."""
    now = _our_modules()
    if all(now.get(name) is module for name, module in before.items()):
        return
    for name in now.keys() - before.keys():
        del sys.modules[name]
    sys.modules.update(before)
    for name, module in before.items():
        parent, _, child = name.rpartition(".")
        if parent in before:
            setattr(before[parent], child, module)


def _start(scene: Any) -> Host:
    sys.modules.update(_ADDED)
    sys.path[:0] = [str(REPOSITORY / name) for name in MODULES]
    for name, cls in _SLICER_CLASSES.items():
        setattr(slicer, name, cls)
    slicer.modules = SimpleNamespace(
        **{name.lower(): module_with_logic(name, logic(scene, name)) for name in _LOGICS},
        **{name.lower(): declared_module(name) for name in MODULES},
    )
    host = Host(scene)
    host.app._parts = host.window
    slicer.app = host.app
    host.window.add_views()
    qt.QSettings().clear()
    host.user.take_over()
    host._watchdog.start()
    return host


def _restore(before: dict[str, Any]) -> None:
    Answers.give_back()
    for name, value in before.items():
        if value is None:
            slicer.__dict__.pop(name, None)
        else:
            setattr(slicer, name, value)
    for name in _ADDED:
        sys.modules.pop(name, None)
    for name in MODULES:
        sys.path.remove(str(REPOSITORY / name))
