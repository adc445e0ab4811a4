"""Makes PySide6's classes behave like PythonQt's, in place, so that objects made by Qt itself behave so too.

Where PythonQt prints a line and goes on (unknown signal), this raises; where PythonQt raises, this raises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from . import signals
from .pythonqt_names import CLASSES, Names, names_of
from .raw_qt import (
    MODULES,
    QtCore,
    raw_children,
    raw_get,
    raw_property,
    raw_set,
    raw_set_property,
    readers,
    shiboken,
)

#: Names that are both a property and a static method, which wins.
_STATIC = {("QTimer", "singleShot")}

#: Further classes without properties or signals that panels may use; they stay as PySide6 has them.
VALUE_CLASSES = frozenset({
    "QBrush", "QByteArray", "QColor", "QCursor", "QDate", "QDateTime", "QDesktopServices", "QDir", "QDragEnterEvent",
    "QDropEvent", "QEvent", "QFileInfo", "QFont", "QFontMetrics", "QIcon", "QImage", "QItemSelection", "QKeyEvent",
    "QKeySequence", "QListWidgetItem", "QLocale", "QMargins", "QMimeData", "QModelIndex", "QMouseEvent", "QPainter",
    "QPalette", "QPen", "QPixmap", "QPoint", "QPointF", "QRect", "QRectF", "QRegularExpression", "QSize",
    "QSizePolicy", "QSpacerItem", "QStandardPaths", "QStyle", "QTableWidgetItem", "QTableWidgetSelectionRange",
    "QTextCursor", "QTime", "QTreeWidgetItem", "QTreeWidgetItemIterator", "QUrl", "QVector3D", "Qt", "Signal",
})  # fmt: skip

_methods: dict[str, Callable[..., Any]] = {}
_qt_classes: set[type] = set()


def as_python(value: Any) -> Any:
    """Give a list of Qt's as the tuple that PythonQt gives."""
    return tuple(value) if isinstance(value, list) else value


def emulated(cls: type) -> type:
    """Mark a Python class of the host as one that is C++ in Slicer: strict about names, no Python base for others."""
    cls._is_emulated = True  # type: ignore[attr-defined]
    return cls


def _is_cpp(cls: type) -> bool:
    return cls in _qt_classes or "_is_emulated" in vars(cls)


def _cpp_class(thing: Any) -> type:
    """First class of an object that is C++ in Slicer."""
    return next(one for one in type(thing).__mro__ if _is_cpp(one))


def _qt_class(thing: Any) -> type:
    return next(one for one in type(thing).__mro__ if one in _qt_classes)


@cache
def _names(cls: type) -> Names | None:
    return names_of(cls.__name__) if cls.__name__ in CLASSES else None


# Reading


def _read(self: Any, name: str) -> Any:
    """Look a name up as PythonQt does; replaces ``__getattribute__`` of Qt's classes."""
    if name.startswith("_"):
        return raw_get(self, name)
    if name in _methods:
        return _bound(self, name)
    defining = next((one for one in type(self).__mro__ if one in _qt_classes or name in vars(one)), object)
    own = raw_get(self, "__dict__").get(name)  # PySide keeps signals there, too
    if own is not None and type(own) is not QtCore.SignalInstance:
        return own
    if defining not in _qt_classes:
        if type(vars(defining)[name]) is QtCore.Signal:
            return signals.BoundSignal(self, name)
        return as_python(raw_get(self, name))
    return _read_qt(self, name)


def _bound(self: Any, name: str) -> Callable[..., Any]:
    own = next((one for one in type(self).__mro__ if name in vars(one) and one not in _qt_classes), None)
    if own is not None:
        return raw_get(self, name)
    method = _methods[name]
    return lambda *arguments: method(self, *arguments)


def _read_qt(self: Any, name: str) -> Any:
    cls = _qt_class(self)
    known = _names(cls)
    if name == "name":
        return raw_property(self, "objectName")
    meta = raw_get(self, "metaObject")()
    if (cls.__name__, name) not in _STATIC and meta.indexOfProperty(name) >= 0 and _allowed(known, name):
        return _property(self, name)
    if known is not None and name in known.signal_names:
        return signals.BoundSignal(self, name)
    if hasattr(cls, name) and _allowed(known, name):
        return _as_method(raw_get(self, name))
    return _dynamic(self, name)


def _allowed(known: Names | None, name: str) -> bool:
    # Qt itself looks overridden handlers of events up by these names.
    return known is None or name in known.attributes or name.endswith("Event") or name in _OVERRIDABLE


#: Virtual functions, of views and others, that C++ looks up in Python by their names.
_OVERRIDABLE = frozenset({
    "accept", "canInsertFromMimeData", "checkStateSet", "closeEditor", "commitData", "connectNotify",
    "createMimeDataFromSelection", "createPopupMenu", "currentChanged", "dataChanged", "devType",
    "disconnectNotify", "doItemsLayout", "doSetSource", "done", "drawBranches", "drawRow", "dropMimeData", "edit",
    "editorDestroyed", "event", "eventFilter", "fixup", "focusNextPrevChild", "hasHeightForWidth", "heightForWidth",
    "hidePopup", "hitButton", "horizontalOffset", "horizontalScrollbarAction", "horizontalScrollbarValueChanged",
    "indexAt", "initPainter", "initStyleOption", "initStyleOptionForIndex", "initViewItemOption",
    "inputMethodQuery", "insertFromMimeData", "isIndexHidden", "itemDelegateForIndex", "keyboardSearch",
    "loadResource", "metric", "mimeData", "mimeTypes", "minimumSizeHint", "minimumTabSizeHint", "moveCursor",
    "nextCheckState", "open", "paintEngine", "paintSection", "redirected", "reject", "reset",
    "rowsAboutToBeRemoved", "rowsInserted", "rowsRemoved", "scrollContentsBy", "scrollTo",
    "sectionSizeFromContents", "selectAll", "selectedIndexes", "selectionChanged", "selectionCommand",
    "setGeometry", "setModel", "setRootIndex", "setSelection", "setSelectionModel", "setVisible", "setupViewport",
    "sharedPainter", "showPopup", "sizeHint", "sizeHintForColumn", "sizeHintForRow", "sliderChange", "startDrag",
    "stepBy", "stepEnabled", "supportedDropActions", "tabInserted", "tabLayoutChange", "tabRemoved", "tabSizeHint",
    "textFromValue", "updateEditorData", "updateEditorGeometries", "updateGeometries", "validate", "valueFromText",
    "verticalOffset", "verticalScrollbarAction", "verticalScrollbarValueChanged", "viewportSizeHint", "visualRect",
    "visualRegionForSelection",
})  # fmt: skip


def _property(self: Any, name: str) -> Any:
    getter = getattr(_qt_class(self), name, None)
    if callable(getter) and not isinstance(getter, type):
        try:
            return as_python(getter(self))  # not through the meta object, which would call an override again
        except TypeError:
            pass
    return as_python(raw_property(self, name))


def _as_method(value: Any) -> Any:
    if not callable(value) or isinstance(value, type):
        return value

    def call(*arguments: Any) -> Any:
        return as_python(value(*arguments))

    return call


def _dynamic(self: Any, name: str) -> Any:
    if name.encode() in [bytes(one) for one in raw_get(self, "dynamicPropertyNames")()]:
        return as_python(raw_property(self, name))
    for child in raw_children(self):
        if raw_property(child, "objectName") == name:
            return child
    known = _names(_cpp_class(self))
    if known is not None and name in known.attributes:
        raise NotImplementedError(f"{type(self).__name__}.{name} exists in Slicer, but the test host lacks it")
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


# Setting


def _assign(self: Any, name: str, value: Any) -> None:
    """Set a property as PythonQt does; replaces ``__setattr__`` of Qt's classes."""
    if name.startswith("_") or isinstance(value, QtCore.SignalInstance):
        raw_set(self, name, value)
        return
    name = "objectName" if name == "name" else name
    known, own = _names(_cpp_class(self)), type(self)
    meta = raw_get(self, "metaObject")()
    if meta.indexOfProperty(name) >= 0 and (known is None or name in known.properties):
        _set_property(self, meta.property(meta.indexOfProperty(name)), value)
    elif not _is_cpp(own) and name not in (known.attributes if known else ()):
        raw_set(self, name, value)
    elif name.encode() in [bytes(one) for one in raw_get(self, "dynamicPropertyNames")()]:
        raw_set_property(self, name, value)
    elif not (hasattr(value, "objectName") and value.objectName == name):  # PySide's loader sets children by name
        what = "cannot be overwritten" if known and name in known.attributes else "does not exist"
        raise AttributeError(f"'{name}' {what} on {own.__name__}, and new attributes are not allowed on C++ objects")


def _set_property(self: Any, declared: Any, value: Any) -> None:
    refusal = AttributeError(
        f"property '{declared.name()}' of {type(self).__name__} is {declared.typeName()} and does not take {value!r}"
    )
    if not declared.isWritable():
        raise AttributeError(f"property '{declared.name()}' of {type(self).__name__} is not writable")
    converted = _converted(declared, value, refusal)
    if not raw_set_property(self, declared.name(), converted) and declared.typeName() != "PyObject":
        raise refusal


def _converted(declared: Any, value: Any, refusal: AttributeError) -> Any:
    kind = declared.typeName()
    if declared.isEnumType():
        return int(value) if isinstance(value, int) else value
    if kind == "QString":
        return str(value)
    if kind == "bool":
        return bool(value)
    if kind in ("int", "double"):
        if not isinstance(value, int | float):
            raise refusal
        return int(value) if kind == "int" else float(value)
    return list(value) if isinstance(value, tuple) else value


# Methods that PythonQt gives to every object


def _find_child(self: Any, kind: Any, name: str = "") -> Any:
    found = _find_children(self, kind, name)
    return found[0] if found else None


def _find_children(self: Any, kind: Any, name: str = "") -> tuple[Any, ...]:
    class_name = kind if isinstance(kind, str) else kind.__name__
    below = list(raw_children(self))
    found = []
    while below:
        one = below.pop(0)
        if _inherits(one, class_name) and name in ("", raw_property(one, "objectName")):
            found.append(one)
        below += raw_children(one)
    return tuple(found)


def _inherits(self: Any, class_name: str) -> bool:
    return any(one.__name__ == class_name for one in type(self).__mro__) or bool(raw_get(self, "inherits")(class_name))


def _class_name(self: Any) -> str:
    return _cpp_class(self).__name__


def _run_modally(self: Any) -> Any:
    return raw_get(self, "exec")()


_methods.update(
    connect=signals.connect, disconnect=signals.disconnect, children=lambda self: tuple(raw_children(self)),
    findChild=_find_child, findChildren=_find_children, inherits=_inherits, className=_class_name,
    delete=shiboken.delete,
)  # fmt: skip


# Installing


def _without_keywords(cls: type) -> None:
    original = cls.__init__  # type: ignore[misc]

    def construct(self: Any, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise ValueError(f"{cls.__name__} takes no keyword arguments in PythonQt: {sorted(keywords)}")
        original(self, *arguments)

    cls.__init__ = construct  # type: ignore[misc]


def _instance_check(cls: type, thing: Any) -> bool:
    """``isinstance`` of PythonQt: only the very class, or Python classes derived from it."""
    for one in type(thing).__mro__:
        if one is cls:
            return True
        if _is_cpp(one):
            return False
    return False


def install() -> None:
    """Patch every class of PySide6 that is a ``QObject``; once in a process."""
    if _qt_classes:
        return
    everything = [getattr(module, name) for module in MODULES for name in dir(module)]
    _qt_classes.update(one for one in everything if isinstance(one, type) and issubclass(one, QtCore.QObject))
    readers.update({cls: cls.__getattribute__ for cls in _qt_classes})
    for cls in _qt_classes:
        cls.__getattribute__ = _read  # type: ignore[method-assign,assignment]
        cls.__setattr__ = _assign  # type: ignore[method-assign,assignment]
        if cls.__name__ in CLASSES:
            _without_keywords(cls)
        if hasattr(cls, "exec"):
            cls.exec_ = cls.exec  # type: ignore[attr-defined]
    type(QtCore.QObject).__instancecheck__ = _instance_check  # type: ignore[assignment,method-assign]


def make_module() -> ModuleType:
    """Make the module ``qt``; a class that it does not know raises ``AttributeError``."""
    install()
    module = ModuleType("qt")

    def find(name: str) -> Any:
        if name in CLASSES or name in VALUE_CLASSES:
            for where in MODULES:
                if hasattr(where, name):
                    setattr(module, name, getattr(where, name))
                    return getattr(where, name)
        raise AttributeError(f"qt.{name} is not known to the test host; see the module docstring of host")

    module.__getattr__ = find  # type: ignore[method-assign]
    return module


qt: Any = make_module()
