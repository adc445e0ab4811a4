"""Stand-ins for the widgets of a ``.ui`` file, without Qt: strict about names, silent about looks.

They follow PythonQt: properties are attributes, signals are connected by signature, unknown names raise.
"""

from __future__ import annotations

import inspect
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from host.pythonqt_names import CLASSES, names_of

_DEFAULTS: dict[str, Any] = {
    "enabled": True, "visible": True, "toolTip": "", "text": "", "currentPath": "", "checked": False, "value": 0,
    "plainText": "", "currentIndex": -1, "readOnly": False, "wordWrap": False,
}  # fmt: skip

#: Signal that a change of a property sends.
_CHANGES = {
    ("ctkPathLineEdit", "currentPath"): "currentPathChanged(QString)",
    ("QComboBox", "currentIndex"): "currentIndexChanged(int)",
    ("QCheckBox", "checked"): "toggled(bool)",
}


class Widget:
    """One widget; a class of its own for each Qt class, as ``type(w) is ctk.ctkPathLineEdit`` must hold."""

    class_name: ClassVar[str] = "QWidget"
    currentIndex: Any  # noqa: N815
    plainText: Any  # noqa: N815

    def __init__(self, name: str, dynamic: dict[str, str]) -> None:
        self.__dict__.update(_name=name, _dynamic=dynamic, _slots={}, _values={}, _items=[], scene=None)

    def __getattr__(self, name: str) -> Any:
        if name not in names_of(self.class_name).properties:
            raise AttributeError(f"{self.class_name} has no '{name}'")
        return self._values.get(name, _DEFAULTS.get(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in names_of(self.class_name).properties:
            raise AttributeError(f"{self.class_name} has no property '{name}'")
        changed = getattr(self, name) != value
        self._values[name] = value
        if changed and (signal := _CHANGES.get((self.class_name, name))):
            self.emit(signal, value)

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        if signature not in names_of(self.class_name).signals:
            raise AttributeError(f"{self.class_name} has no signal '{signature}'")
        self._slots.setdefault(signature, []).append(slot)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        self._slots[signature].remove(slot)
        return True

    def emit(self, signature: str, *values: Any) -> None:
        for slot in list(self._slots.get(signature, ())):
            taken = len(inspect.signature(slot).parameters)
            slot(*values[:taken])

    def property(self, name: str) -> Any:
        return self._dynamic.get(name)

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        self.__dict__["scene"] = scene

    def addItem(self, text: str) -> None:  # noqa: N802
        self._items.append(text)
        if self.currentIndex < 0:
            self.currentIndex = 0

    def appendPlainText(self, text: str) -> None:  # noqa: N802
        self.plainText = f"{self.plainText}\n{text}".strip()

    def clear(self) -> None:
        self._items.clear()
        if self.class_name == "QPlainTextEdit":
            self.plainText = ""
        else:
            self.currentIndex = -1

    def click(self) -> None:
        if self.enabled:
            self.emit("clicked()")


WIDGETS: dict[str, type[Widget]] = {name: type(name, (Widget,), {"class_name": name}) for name in CLASSES}


def load_panel(path: str | Path) -> Widget:
    """Make the widgets of a ``.ui`` file; the root carries them all as ``children_by_name``."""
    root = ElementTree.parse(path).getroot()
    widgets: dict[str, Widget] = {}
    for element in root.iter("widget"):
        dynamic = {
            str(one.get("name")): "".join(one.itertext()).strip()
            for one in element.findall("property")
            if one.get("stdset") == "0"
        }
        name = str(element.get("name"))
        widgets[name] = WIDGETS[str(element.get("class"))](name, dynamic)
    top = next(iter(widgets.values()))
    top.__dict__["children_by_name"] = widgets
    return top


def child_widget_variables(panel: Widget) -> SimpleNamespace:
    """Give every widget of a panel as an attribute, as ``slicer.util.childWidgetVariables`` does."""
    return SimpleNamespace(**panel.__dict__["children_by_name"])
