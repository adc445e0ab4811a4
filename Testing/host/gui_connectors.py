"""Which widgets a parameter can be connected to: as in Slicer by the very class of the widget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from .ctk_widgets import ctk
from .mrml_widgets import qMRMLNodeComboBox
from .parameter_types import Choice, Maximum, Minimum, WithinRange, split
from .pythonqt import qt

#: Dynamic property of a widget that names its parameter.
PARAMETER_PROPERTY = "SlicerParameterName"


@dataclass(frozen=True)
class Decimals:
    """How many decimals a widget shows."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """How far one step of a widget goes."""

    value: float


class GuiConnector:
    """Base of connectors, also of those that a module registers."""

    def __init__(self) -> None:
        super().__init__()
        self._callback: Callable[[], None] | None = None

    def onChanged(self, callback: Callable[[], None] | None) -> None:  # noqa: N802
        """Call back from now on when the widget changes, or no more."""
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self) -> None:
        """Tell that the widget changed."""
        if self._callback:
            self._callback()

    def _connect(self) -> None:
        raise NotImplementedError

    def _disconnect(self) -> None:
        raise NotImplementedError

    def widget(self) -> Any:
        """Give the widget."""
        raise NotImplementedError

    def read(self) -> Any:
        """Give the widget's value."""
        raise NotImplementedError

    def write(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError


class PropertyConnector(GuiConnector):
    """Connects a widget by one of its properties and the signal of its change."""

    def __init__(self, widget: Any, property_name: str, signal: str, kind: Callable[[Any], Any]) -> None:
        super().__init__()
        self._widget, self._property, self._signal, self._kind = widget, property_name, signal, kind

    def _connect(self) -> None:
        if self._signal:
            self._widget.connect(self._signal, self.changed)

    def _disconnect(self) -> None:
        if self._signal:
            self._widget.disconnect(self._signal, self.changed)

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        return self._kind(getattr(self._widget, self._property))

    def write(self, value: Any) -> None:
        shown = str(value) if isinstance(value, Path) else value
        if getattr(self._widget, self._property) != shown:
            setattr(self._widget, self._property, shown)


class ChoiceConnector(GuiConnector):
    """Connects a combo box, which it fills, to a parameter with choices."""

    def __init__(self, widget: Any, datatype: Any) -> None:
        super().__init__()
        self._widget = widget
        (self._choices,) = (one.choices for one in split(datatype)[1] if isinstance(one, Choice))
        widget.clear()
        widget.addItems([str(one) for one in self._choices])

    def _connect(self) -> None:
        self._widget.connect("currentIndexChanged(int)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentIndexChanged(int)", self.changed)

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        return self._choices[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        self._widget.currentIndex = self._choices.index(value)


class NodeConnector(GuiConnector):
    """Connects a node selector to a parameter of a node class."""

    def __init__(self, widget: Any, kind: type) -> None:
        super().__init__()
        self._widget = widget
        widget.nodeTypes = [kind.__name__]
        widget.setMRMLScene(slicer.mrmlScene)

    def _connect(self) -> None:
        self._widget.connect("currentNodeChanged(vtkMRMLNode*)", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentNodeChanged(vtkMRMLNode*)", self.changed)

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


#: Class of the widget, types of the parameter, property, signal.
_BY_PROPERTY: tuple[tuple[Any, tuple[Any, ...], str, str], ...] = (
    (qt.QCheckBox, (bool,), "checked", "toggled(bool)"),
    (qt.QPushButton, (bool,), "checked", "toggled(bool)"),
    (qt.QSpinBox, (int,), "value", "valueChanged(int)"),
    (qt.QSlider, (int,), "value", "valueChanged(int)"),
    (qt.QDoubleSpinBox, (float, int), "value", "valueChanged(double)"),
    (ctk.ctkSliderWidget, (float, int), "value", "valueChanged(double)"),
    (ctk.ctkDoubleSpinBox, (float, int), "value", "valueChanged(double)"),
    (qt.QLineEdit, (str,), "text", "textChanged(QString)"),
    (qt.QTextEdit, (str,), "plainText", "textChanged()"),
    (qt.QLabel, (str,), "text", ""),
    (ctk.ctkPathLineEdit, (Path,), "currentPath", "currentPathChanged(QString)"),
    (ctk.ctkDirectoryButton, (Path,), "directory", "directoryChanged(QString)"),
)

_registered: list[Any] = []


def parameterNodeGuiConnector(connector: Any = None) -> Any:  # noqa: N802
    """Register a module's connector; one of the same name takes the place of an earlier one, as after a reload."""
    if connector is None:
        return parameterNodeGuiConnector
    _registered[:] = [one for one in _registered if one.__name__ != connector.__name__]
    _registered.append(connector)
    return connector


def create(widget: Any, datatype: Any) -> GuiConnector:
    """Make the connector that fits; it is a ``RuntimeError`` if there is none."""
    kind, annotations = split(datatype)
    if type(widget) is qt.QComboBox and any(isinstance(one, Choice) for one in annotations):
        return ChoiceConnector(widget, datatype)
    if type(widget) is qMRMLNodeComboBox and isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeConnector(widget, kind)
    for cls, kinds, name, signal in _BY_PROPERTY:
        if type(widget) is cls and kind in kinds:
            _apply_annotations(widget, annotations)
            return PropertyConnector(widget, name, signal, kind)
    for one in _registered:
        if one.canRepresent(widget, datatype):
            made: GuiConnector = one.create(widget, datatype)
            return made
    raise RuntimeError(f"no connector between {type(widget).__name__} and {datatype}")


def _apply_annotations(widget: Any, annotations: tuple[Any, ...]) -> None:
    for one in annotations:
        if isinstance(one, Minimum | WithinRange):
            widget.minimum = one.minimum
        if isinstance(one, Maximum | WithinRange):
            widget.maximum = one.maximum
        if isinstance(one, Decimals):
            widget.decimals = one.value
        if isinstance(one, SingleStep):
            widget.singleStep = one.value
