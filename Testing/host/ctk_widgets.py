"""Emulated ``ctk`` widgets: their names and what modules rely on, not their looks."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from .pythonqt import emulated, qt
from .raw_qt import QtCore
from .widget_parts import forwarded, stored

_HEADER_PX = 24


def _tight(layout: Any) -> Any:
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


@emulated
class ctkCollapsibleButton(qt.QAbstractButton):  # type: ignore[misc]  # noqa: N801
    """Header that shows and hides what lies below it."""

    contentsCollapsed = QtCore.Signal(bool)  # noqa: N815

    def __init__(self, *arguments: Any) -> None:
        parents = [one for one in arguments if not isinstance(one, str)]
        qt.QAbstractButton.__init__(self, *parents)
        self._hidden: list[Any] = []
        self.text = next((one for one in arguments if isinstance(one, str)), "")
        self.checkable = True
        self.checked = True
        self.setSizePolicy(qt.QSizePolicy.Minimum, qt.QSizePolicy.Preferred)
        self.connect("toggled(bool)", self._toggle)

    def _toggle(self, is_open: bool) -> None:
        for child in [one for one in self.children() if one.inherits("QWidget")]:
            if is_open and child in self._hidden:
                child.show()
            elif not is_open and not child.isHidden():
                self._hidden.append(child)
                child.hide()
        if is_open:
            self._hidden.clear()
        self.updateGeometry()
        self.contentsCollapsed.emit(not is_open)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = QtCore.Property(bool, lambda self: not self.checked, _set_collapsed)
    flat = stored(bool, False)
    collapsedHeight = stored(int, 10)  # noqa: N815
    contentsFrameShape = stored(int, 0)  # noqa: N815
    contentsLineWidth = stored(int, 1)  # noqa: N815

    def childEvent(self, event: Any) -> None:  # noqa: N802
        """Hide what is put into a collapsed button, as while a .ui file is loaded."""
        child = event.child()
        if event.type() == qt.QEvent.ChildPolished and not self.checked and child.inherits("QWidget"):
            self._hidden.append(child)
            child.hide()

    def event(self, event: Any) -> bool:
        """Keep room for the header whenever the contents are laid out."""
        if event.type() in (qt.QEvent.LayoutRequest, qt.QEvent.ChildAdded):
            self.setContentsMargins(3, _HEADER_PX + 3, 3, 3)
        return bool(qt.QAbstractButton.event(self, event))

    def _size(self, name: str) -> Any:
        layout = self.layout()
        if layout is None or not self.checked:
            return qt.QSize(100, _HEADER_PX)
        return getattr(layout, name)()

    def sizeHint(self) -> Any:  # noqa: N802
        """Room for the header, and for the contents while open."""
        return self._size("totalSizeHint")

    def minimumSizeHint(self) -> Any:  # noqa: N802
        """Room for the header, and for the contents while open."""
        return self._size("totalMinimumSize")

    def hitButton(self, position: Any) -> bool:  # noqa: N802
        """Only the header takes clicks."""
        return bool(position.y() < _HEADER_PX)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw the header."""
        painter = qt.QPainter(self)
        header = qt.QRect(0, 0, self.width, _HEADER_PX)
        painter.fillRect(header, self.palette.button())
        arrow = "▾" if self.checked else "▸"
        painter.drawText(header.adjusted(8, 0, 0, 0), qt.Qt.AlignVCenter, f"{arrow}  {self.text}")
        painter.end()


@emulated
class ctkCollapsibleGroupBox(qt.QGroupBox):  # type: ignore[misc]  # noqa: N801
    """Group box whose check mark shows and hides its contents."""

    def __init__(self, *arguments: Any) -> None:
        qt.QGroupBox.__init__(self, *arguments)
        self.checkable = True
        self.connect("toggled(bool)", self._toggle)

    def _toggle(self, is_open: bool) -> None:
        for child in self.children():
            if child.inherits("QWidget"):
                child.setVisible(is_open)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = QtCore.Property(bool, lambda self: not self.checked, _set_collapsed)
    collapsedHeight = stored(int, 14)  # noqa: N815


@emulated
class ctkPathLineEdit(qt.QWidget):  # type: ignore[misc]  # noqa: N801
    """Path with history and a button to browse."""

    currentPathChanged = QtCore.Signal(str)  # noqa: N815
    validInputChanged = QtCore.Signal(bool)  # noqa: N815
    # As QDir::Filter
    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40
    NoDot, NoDotDot, NoDotAndDotDot, Hidden, AllEntries = 0x2000, 0x4000, 0x6000, 0x100, 0x7

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        layout = _tight(qt.QHBoxLayout(self))
        self._edit, self._button = qt.QComboBox(), qt.QToolButton()
        self._edit.editable = True
        self._button.text = "…"
        layout.addWidget(self._edit, 1)
        layout.addWidget(self._button)
        self.setFocusProxy(self._edit)
        self._valid = False
        self._edit.connect("editTextChanged(QString)", self._changed)
        self._button.connect("clicked()", self.browse)

    def _changed(self, path: str) -> None:
        valid = bool(path) and Path(path).exists()
        self.currentPathChanged.emit(path)
        if valid != self._valid:
            self._valid = valid
            self.validInputChanged.emit(valid)

    def setCurrentPath(self, path: str) -> None:  # noqa: N802
        """Show a path."""
        self._edit.setEditText(path)

    def _path(self) -> str:
        return str(self._edit.currentText)

    currentPath = QtCore.Property(str, _path, setCurrentPath)  # noqa: N815
    filters = stored(int, 0x7)
    nameFilters = stored("QStringList", [])  # noqa: N815
    settingKey = stored(str, "")  # noqa: N815
    showHistoryButton = stored(bool, True)  # noqa: N815

    def _show_button(self) -> None:
        self._button.visible = self.showBrowseButton

    showBrowseButton = stored(bool, True, "_show_button")  # noqa: N815

    def addCurrentPathToHistory(self) -> None:  # noqa: N802
        """Offer the path again later."""
        if self.currentPath and self._edit.findText(self.currentPath) < 0:
            self._edit.addItem(self.currentPath)

    def browse(self) -> None:
        """Let the user choose a path."""
        wants_file, is_output = self.filters & self.Files, self.filters & self.Writable
        dialog, patterns = qt.QFileDialog, ";;".join(self.nameFilters)
        if not wants_file:
            chosen = dialog.getExistingDirectory(self, "", self.currentPath)
        else:
            ask = dialog.getSaveFileName if is_output else dialog.getOpenFileName
            chosen = ask(self, "", self.currentPath, patterns)
        if chosen:
            self.setCurrentPath(chosen)


@emulated
class ctkDirectoryButton(qt.QWidget):  # type: ignore[misc]  # noqa: N801
    """Button that shows a folder and lets the user choose another."""

    directoryChanged = QtCore.Signal(str)  # noqa: N815
    directorySelected = QtCore.Signal(str)  # noqa: N815

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self._button, self._directory = qt.QPushButton(), str(Path.cwd())
        _tight(qt.QHBoxLayout(self)).addWidget(self._button)
        self._button.connect("clicked()", self.browse)

    def _set_directory(self, path: str) -> None:
        path = str(Path(path).absolute())
        if path != self._directory:
            self._directory = path
            self._button.text = path
            self.directoryChanged.emit(path)

    directory = QtCore.Property(str, lambda self: self._directory, _set_directory)
    caption = stored(str, "")
    text = forwarded(str, "_button", "text")

    def browse(self) -> None:
        """Let the user choose a folder."""
        chosen = qt.QFileDialog.getExistingDirectory(self, self.caption, self.directory)
        if chosen:
            self._set_directory(chosen)
            self.directorySelected.emit(chosen)


class _Number(qt.QWidget):  # type: ignore[misc]
    """What the widgets for numbers share: a spin box with the range."""

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self._spin = qt.QDoubleSpinBox()
        self._box = _tight(qt.QHBoxLayout(self))
        self._box.addWidget(self._spin)

    def setValue(self, value: float) -> None:  # noqa: N802
        """Show a value."""
        self._spin.value = value

    def setDecimals(self, decimals: int) -> None:  # noqa: N802
        """Set how many decimals are shown."""
        self._spin.decimals = decimals


@emulated
class ctkDoubleSpinBox(_Number):  # noqa: N801
    """Number with a unit."""

    valueChanged = QtCore.Signal(float)  # noqa: N815
    editingFinished = QtCore.Signal()  # noqa: N815

    def __init__(self, parent: Any = None) -> None:
        _Number.__init__(self, parent)
        self._spin.connect("valueChanged(double)", self.valueChanged.emit)
        self._spin.connect("editingFinished()", self.editingFinished.emit)

    value, minimum, maximum, singleStep = (  # noqa: N815
        forwarded(float, "_spin", name) for name in ("value", "minimum", "maximum", "singleStep")
    )
    prefix, suffix = (forwarded(str, "_spin", name) for name in ("prefix", "suffix"))
    decimals = forwarded(int, "_spin", "decimals")
    readOnly = forwarded(bool, "_spin", "readOnly")  # noqa: N815


@emulated
class ctkSliderWidget(_Number):  # noqa: N801
    """Slider and spin box."""

    valueChanged = QtCore.Signal(float)  # noqa: N815
    valueIsChanging = QtCore.Signal(float)  # noqa: N815

    def __init__(self, parent: Any = None) -> None:
        _Number.__init__(self, parent)
        self._slider = qt.QSlider(qt.Qt.Horizontal)
        self._box.insertWidget(0, self._slider, 1)
        self._follow()
        self._spin.connect("valueChanged(double)", self._spin_changed)
        self._slider.connect("valueChanged(int)", self._slider_changed)

    def _follow(self) -> None:
        step = self._spin.singleStep or 1.0
        self._slider.blockSignals(True)
        self._slider.setRange(round(self._spin.minimum / step), round(self._spin.maximum / step))
        self._slider.value = round(self._spin.value / step)
        self._slider.blockSignals(False)

    def _spin_changed(self, value: float) -> None:
        self._follow()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _slider_changed(self, position: int) -> None:
        self._spin.value = position * self._spin.singleStep

    value, singleStep = (forwarded(float, "_spin", name) for name in ("value", "singleStep"))  # noqa: N815

    def _set_minimum(self, value: float) -> None:
        self._spin.minimum = value
        self._follow()

    def _set_maximum(self, value: float) -> None:
        self._spin.maximum = value
        self._follow()

    minimum = QtCore.Property(float, lambda self: self._spin.minimum, _set_minimum)
    maximum = QtCore.Property(float, lambda self: self._spin.maximum, _set_maximum)
    prefix, suffix = (forwarded(str, "_spin", name) for name in ("prefix", "suffix"))
    decimals = forwarded(int, "_spin", "decimals")
    pageStep = stored(float, 1.0)  # noqa: N815
    tracking = stored(bool, True)


WIDGETS: dict[str, Any] = {
    one.__name__: one
    for one in (
        ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkPathLineEdit, ctkDirectoryButton, ctkDoubleSpinBox,
        ctkSliderWidget,
    )
}  # fmt: skip


def make_module() -> ModuleType:
    """Make the module ``ctk``; a class that it does not know raises ``AttributeError``."""
    module = ModuleType("ctk")
    module.__dict__.update(WIDGETS)

    def find(name: str) -> Any:
        raise AttributeError(f"ctk.{name} is not known to the test host; see the module docstring of host")

    module.__getattr__ = find  # type: ignore[method-assign]
    return module


ctk: Any = make_module()
