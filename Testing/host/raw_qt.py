"""PySide6 as it is, before it is made to behave like PythonQt; imported before anything else of Qt."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import import_module
from typing import Any

os.environ["PYSIDE6_OPTION_PYTHON_ENUM"] = "0x0F"  # enums are integers and reachable without their class, as in Qt 5
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

QtCore: Any = import_module("PySide6.QtCore")
QtGui: Any = import_module("PySide6.QtGui")
QtWidgets: Any = import_module("PySide6.QtWidgets")
QtUiTools: Any = import_module("PySide6.QtUiTools")
shiboken: Any = import_module("shiboken6")


def _keep_none() -> None:
    """Give ``None`` references to lose, as PySide6 6.12 takes one with each call of a method without a result.

    From Python 3.12 on ``None`` is not counted.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


_keep_none()

#: What classes are looked for in, in this order.
MODULES = (QtWidgets, QtGui, QtCore)

#: How each class reads attributes without PythonQt's rules; some have ways of their own, such as QFile.
readers: dict[type, Any] = {}
#: Setting without PythonQt's rules; only Shiboken's own may be called for patched classes.
raw_set = shiboken.Object.__setattr__
raw_property = QtCore.QObject.property
raw_set_property = QtCore.QObject.setProperty
raw_children = QtCore.QObject.children


def raw_get(thing: Any, name: str) -> Any:
    """Read an attribute as PySide6 does."""
    reader = next((readers[one] for one in type(thing).__mro__ if one in readers), object.__getattribute__)
    return reader(thing, name)


def pointer_of(thing: Any) -> int:
    """Address of the C++ object."""
    return int(shiboken.getCppPointer(thing)[0])
