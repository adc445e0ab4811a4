"""What PythonQt offers for the widgets that the panels use: properties, other methods, signals.

Only what the panels use or may soon use; a name that is missing here must be looked up in the class's header before
it is added. ctk and qMRML classes offer properties, slots and invokables only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names of one class, without those of its bases.

    Parameters
    ----------
    base : str
        The class it extends; empty for ``QWidget``'s own base.
    properties, methods, signals : frozenset of str
        Signals with their normalised signature.
    """

    base: str = "QWidget"
    properties: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    signals: frozenset[str] = frozenset()


def _names(base: str, properties: str = "", methods: str = "", signals: str = "") -> Names:
    return Names(base, frozenset(properties.split()), frozenset(methods.split()), frozenset(signals.split()))


CLASSES = {
    "QWidget": _names(
        "",
        "enabled visible toolTip name objectName geometry font",
        "show hide setFocus setLayout layout setVisible property setProperty findChild findChildren connect disconnect"
        " deleteLater inherits",
        "destroyed() customContextMenuRequested(QPoint)",
    ),
    "QLabel": _names("QWidget", "text textFormat wordWrap alignment", "clear", "linkActivated(QString)"),
    "QPushButton": _names(
        "QWidget", "text checkable checked icon", "click toggle isChecked", "clicked() clicked(bool) toggled(bool)"
    ),
    "QCheckBox": _names(
        "QWidget", "text checked", "click toggle isChecked", "clicked() toggled(bool) stateChanged(int)"
    ),
    "QComboBox": _names(
        "QWidget",
        "currentIndex currentText count",
        "addItem addItems clear itemText itemData setItemData findText",
        "currentIndexChanged(int) currentTextChanged(QString) activated(int)",
    ),
    "QProgressBar": _names("QWidget", "value minimum maximum text textVisible format", "reset", "valueChanged(int)"),
    "QPlainTextEdit": _names(
        "QWidget", "plainText readOnly placeholderText", "appendPlainText clear setPlainText", "textChanged()"
    ),
    "ctkCollapsibleButton": _names("QWidget", "text collapsed checked", "", "contentsCollapsed(bool) clicked()"),
    "ctkPathLineEdit": _names(
        "QWidget",
        "currentPath filters nameFilters settingKey showBrowseButton",
        "addCurrentPathToHistory browse setCurrentPath",
        "currentPathChanged(QString) validInputChanged(bool)",
    ),
    "qMRMLWidget": _names("QWidget", "", "setMRMLScene mrmlScene", "mrmlSceneChanged(vtkMRMLScene*)"),
}


def names_of(class_name: str) -> Names:
    """Names of a class together with those of its bases; raises ``KeyError`` for a class that is not listed."""
    own = CLASSES[class_name]
    if not own.base:
        return own
    base = names_of(own.base)
    return Names(
        own.base,
        own.properties | base.properties,
        own.methods | base.methods,
        own.signals | base.signals,
    )
