"""Loads ``.ui`` files, strictly: what Slicer would warn about or leave out in silence is an error here."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from . import ctk_widgets, mrml_widgets, segment_widgets
from .pythonqt import qt
from .pythonqt_names import CLASSES, names_of
from .raw_qt import QtCore, QtUiTools
from .signals import connect

EMULATED: dict[str, Any] = {**ctk_widgets.WIDGETS, **mrml_widgets.WIDGETS, **segment_widgets.WIDGETS}


class UiError(ValueError):
    """Something in a ``.ui`` file that Slicer would not understand."""


def check(root: ElementTree.Element) -> list[str]:
    """Say what is wrong with a ``.ui`` file: unknown classes, properties, constants, doubled names."""
    wrong: list[str] = []
    names: set[str] = set()
    for widget in root.iter("widget"):
        class_name, name = str(widget.get("class")), str(widget.get("name"))
        if name in names:
            wrong.append(f"two widgets are named '{name}'")
        names.add(name)
        if class_name not in CLASSES:
            wrong.append(f"'{name}' is of the unknown class {class_name}")
        else:
            wrong += _wrong_properties(widget, class_name)
    return wrong


def _wrong_properties(widget: ElementTree.Element, class_name: str) -> list[str]:
    wrong = []
    for one in widget.findall("property"):
        where = f"{class_name} '{widget.get('name')}'"
        if one.get("stdset") != "0" and one.get("name") not in names_of(class_name).properties:
            wrong.append(f"{where} has no property '{one.get('name')}'")
        for constant in (one.findtext("set") or "").split("|") if class_name in EMULATED else ():
            if constant and constant.split("::")[-1] not in names_of(class_name).constants:
                wrong.append(f"{where} has no constant '{constant}'")
    return wrong


def _with_numbers(root: ElementTree.Element) -> None:
    """Write the emulated classes' constants as numbers, for Qt does not know their names."""
    for widget in root.iter("widget"):
        class_name = str(widget.get("class"))
        if class_name not in EMULATED or not names_of(class_name).constants:
            continue
        for one in widget.findall("property"):
            for child in one.findall("set"):
                parts = [part.split("::")[-1] for part in str(child.text).split("|")]
                child.tag, child.text = "number", str(sum(getattr(EMULATED[class_name], part) for part in parts))


def _take_connections(root: ElementTree.Element) -> list[list[str]]:
    """Take the connections out, to make them by PythonQt's rules."""
    found = []
    for one in root.iter("connections"):
        for connection in list(one):
            found.append([connection.findtext(part) or "" for part in ("sender", "signal", "receiver", "slot")])
            one.remove(connection)
    return found


def read(device: Any) -> bytes:
    """Read a file; the seeded bugs change what it gives."""
    return bytes(device.readAll())


class QUiLoader(QtUiTools.QUiLoader):  # type: ignore[misc]
    """``qt.QUiLoader``."""

    def load(self, device: Any, parent: Any = None) -> Any:
        """Make the widgets of a file.

        Raises
        ------
        UiError
            If Slicer would not understand all of it.
        """
        root = ElementTree.fromstring(read(device))
        wrong = check(root)
        if wrong:
            raise UiError("; ".join(wrong))
        connections = _take_connections(root)
        _with_numbers(root)
        for cls in EMULATED.values():
            self.registerCustomWidget(cls)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        top = QtUiTools.QUiLoader.load(self, buffer, parent)
        for sender, signal, receiver, slot in connections:
            target = getattr(_find(top, receiver), slot.split("(")[0])
            connect(_find(top, sender), signal, target)
        return top


def _find(top: Any, name: str) -> Any:
    found = top if top.objectName == name else top.findChild("QObject", name)
    if found is None:
        raise UiError(f"a connection names '{name}', which is not there")
    return found


qt.QUiLoader = QUiLoader
