"""PySide6 in the test host answers as PythonQt does; the expected answers are those of PythonQt 4.1.0 on Qt 5.15.8."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from host.running import Host


@pytest.fixture
def qt(host: Host) -> Any:
    """Give the module that scripted modules import."""
    import qt

    return qt


def set_and_get(thing: Any, name: str, value: Any) -> Any:
    setattr(thing, name, value)
    return getattr(thing, name)


#: Class, arguments of its constructor, property, value that is set, value that is read then.
LENIENT = [
    ("QLabel", ("hi",), "text", 5, "5"),
    ("QLabel", ("hi",), "text", None, "None"),
    ("QLabel", ("hi",), "enabled", 1, True),
    ("QLabel", ("hi",), "enabled", "a", True),
    ("QLabel", ("hi",), "enabled", None, False),
    ("QLabel", ("hi",), "maximumWidth", 33, 33),
    ("QLabel", ("hi",), "toolTip", "t", "t"),
    ("QLabel", ("hi",), "name", "n", "n"),
    ("QSpinBox", (), "value", 2.7, 2),
    ("QDoubleSpinBox", (), "value", 2, 2.0),
    ("QFrame", (), "frameShape", 4, 4),
    ("QPlainTextEdit", (), "plainText", "x\ny", "x\ny"),
    ("QTimer", (), "interval", 9, 9),
]


@pytest.mark.parametrize(("kind", "arguments", "name", "value", "expected"), LENIENT)
def test_setting_a_property_converts(
    qt: Any, kind: str, arguments: tuple[Any, ...], name: str, value: Any, expected: Any
) -> None:
    assert set_and_get(getattr(qt, kind)(*arguments), name, value) == expected


#: Class, what is done with an object of it, exception.
REFUSED: list[tuple[str, Callable[[Any], Any], type[Exception]]] = [
    ("QLabel", lambda label: label.text(), TypeError),
    ("QLabel", lambda label: label.width(), TypeError),
    ("QLabel", lambda label: label.no_such, AttributeError),
    ("QSpinBox", lambda spin: setattr(spin, "value", "3"), AttributeError),
    ("QPushButton", lambda button: setattr(button, "foo", 1), AttributeError),
    ("QPushButton", lambda button: setattr(button, "setText", 1), AttributeError),
    ("QPushButton", lambda button: setattr(button, "clicked", 1), AttributeError),
    ("QPushButton", lambda button: button.connect("cliked()", print), AttributeError),
    ("QPushButton", lambda button: button.connect("clicked(int)", print), AttributeError),
    ("QComboBox", lambda box: box.connect("currentIndexChanged(QString)", print), AttributeError),  # not in Qt 6
    ("QComboBox", lambda box: setattr(box, "count", 3), AttributeError),
    ("QTableWidget", lambda table: table.setItemText, AttributeError),
]


@pytest.mark.parametrize(("kind", "ask", "error"), REFUSED)
def test_what_pythonqt_lacks_raises(qt: Any, kind: str, ask: Callable[[Any], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(getattr(qt, kind)())


def test_unknown_classes_and_keywords_raise(qt: Any) -> None:
    import ctk

    with pytest.raises(AttributeError, match="QPushBotton"):
        qt.QPushBotton  # noqa: B018
    with pytest.raises(AttributeError, match="ctkNothing"):
        ctk.ctkNothing  # noqa: B018
    with pytest.raises(ValueError, match="keyword"):
        qt.QLabel(text="k")


def test_getters_that_are_no_properties_stay_methods(qt: Any) -> None:
    button, box = qt.QPushButton("x"), qt.QCheckBox()
    assert (button.isChecked(), button.isVisible(), button.isEnabled(), button.checked) == (False, False, True, False)
    assert (button.parent(), button.layout(), button.size.width()) == (None, None, 640)
    assert (box.checkState(), callable(qt.QTimer.singleShot)) == (0, True)
    box.setChecked(True)
    assert box.checkState() == qt.Qt.Checked == 2


def test_enums_are_integers_and_flat(qt: Any) -> None:
    assert isinstance(qt.Qt.Checked, int)
    assert int(qt.Qt.AlignLeft | qt.Qt.AlignTop) == 33
    assert int(qt.QMessageBox.Ok | qt.QMessageBox.Cancel) == 4195328
    assert (int(qt.QFrame.HLine), int(qt.QFrame.Shape.HLine), int(qt.QAbstractItemView.SelectRows)) == (4, 4, 1)


def test_lists_come_back_as_tuples(qt: Any) -> None:
    widget, group = qt.QWidget(), qt.QButtonGroup()
    button = qt.QPushButton("x", widget)
    assert widget.children() == (button,)
    assert widget.findChildren(qt.QPushButton) == widget.findChildren("QPushButton") == (button,)
    assert group.buttons() == ()


def test_children_are_found_by_name(qt: Any) -> None:
    widget = qt.QWidget()
    layout, button = qt.QVBoxLayout(widget), qt.QPushButton("x")
    layout.addWidget(button)
    button.name = "pb"
    assert widget.pb is button
    assert widget.findChild("QPushButton", "pb") is button
    assert widget.findChild(qt.QLabel, "pb") is None
    assert (button.objectName, button.className(), layout.count()) == ("pb", "QPushButton", 1)


def test_isinstance_knows_only_the_very_class(qt: Any) -> None:
    class Mine(qt.QPushButton):  # type: ignore[misc]
        pass

    button = qt.QPushButton()
    assert isinstance(button, qt.QPushButton)
    assert not isinstance(button, qt.QWidget)
    assert button.inherits("QAbstractButton")
    assert isinstance(Mine(), Mine)
    assert isinstance(Mine(), qt.QPushButton)
    assert not isinstance(Mine(), qt.QWidget)


def test_dynamic_properties_are_attributes(qt: Any) -> None:
    button = qt.QPushButton()
    assert button.setProperty("dyn", 3) is False
    assert (button.property("dyn"), button.dyn, button.property("missing")) == (3, 3, None)
    assert set_and_get(button, "dyn", 4) == 4


def test_python_subclasses_keep_attributes_and_overrides(qt: Any) -> None:
    class Dialog(qt.QDialog):  # type: ignore[misc]
        def __init__(self, parent: Any = None) -> None:
            qt.QDialog.__init__(self, parent)
            self.extra = [1]
            self.windowTitle = "T"

        def sizeHint(self) -> Any:  # noqa: N802
            return qt.QSize(50, 60)

    dialog = Dialog()
    dialog.adjustSize()
    assert (dialog.extra, dialog.windowTitle, callable(dialog.exec_)) == ([1], "T", True)
    assert dialog.size == qt.QSize(50, 60)


# Signals

received: list[Any] = []


class Receiver:
    def none(self) -> None:
        received.append("none")

    def one(self, value: Any) -> None:
        received.append(value)

    def __call__(self, *values: Any) -> None:
        received.append(values)


def plain() -> None:
    received.append("plain")


#: Receiver, what it receives of clicked(bool), of clicked(), of ``clicked.connect``.
CUTTING: list[tuple[Callable[..., Any], Any, Any, Any]] = [
    (plain, "plain", "plain", "plain"),
    (lambda value: received.append(value), False, TypeError, False),
    (lambda value=7: received.append(value), False, 7, False),
    (lambda *values: received.append(values), (False,), (), (False,)),
    (Receiver().none, "none", "none", "none"),
    (Receiver().one, False, TypeError, False),
    (Receiver(), (False,), (), (False,)),
    (functools.partial(plain), TypeError, "plain", TypeError),
    (functools.partial(lambda *values: received.append(values), "p"), ("p", False), ("p",), ("p", False)),
]


@pytest.mark.parametrize("way", [0, 1, 2])
@pytest.mark.parametrize("case", range(len(CUTTING)))
def test_arguments_are_cut_to_what_a_function_takes(qt: Any, host: Host, case: int, way: int) -> None:
    button, receiver, expected = qt.QPushButton(), CUTTING[case][0], CUTTING[case][1 + way]
    received.clear()
    if way == 2:
        assert button.clicked.connect(receiver)
    else:
        assert button.connect(("clicked( bool )", "clicked()")[way], receiver)
    button.click()
    if expected is TypeError:
        host.expect_problem("TypeError")
        assert received == []
    else:
        assert received == [expected]


def test_connections_hold_their_receiver(qt: Any) -> None:
    button = qt.QPushButton()
    received.clear()
    button.clicked.connect(Receiver().none)
    gc.collect()
    button.click()
    assert received == ["none"]


def test_connecting_twice_calls_twice_and_disconnecting_says_whether(qt: Any) -> None:
    button = qt.QPushButton()
    received.clear()
    for _ in range(2):
        button.connect("clicked()", plain)
    button.click()
    assert button.disconnect("clicked()", plain)
    button.click()
    assert button.disconnect("clicked()")
    assert not button.disconnect("clicked()", plain)
    button.click()
    assert received == ["plain"] * 3


@pytest.mark.parametrize(
    ("kind", "signal", "change", "expected"),
    [
        ("QComboBox", "currentIndexChanged(int)", ("currentIndex", 1), (1,)),
        ("QComboBox", "currentTextChanged(QString)", ("currentIndex", 1), ("b",)),
        ("QComboBox", "currentIndexChanged", ("currentIndex", 1), (1,)),
        ("QSpinBox", "valueChanged(int)", ("value", 5), (5,)),
        ("QSpinBox", "valueChanged", ("value", 5), (5,)),
        ("QCheckBox", "toggled(bool)", ("checked", True), (True,)),
        ("QLineEdit", "textChanged(QString)", ("text", "t"), ("t",)),
    ],
)
def test_first_declared_overload_is_meant(
    qt: Any, kind: str, signal: str, change: tuple[str, Any], expected: tuple[Any, ...]
) -> None:
    widget = getattr(qt, kind)()
    if kind == "QComboBox":
        widget.addItems(["a", "b"])
    received.clear()
    if "(" in signal:
        widget.connect(signal, Receiver())
    else:
        getattr(widget, signal).connect(Receiver())
    setattr(widget, *change)
    assert received == [expected]


def test_signals_can_be_called_and_emitted(qt: Any) -> None:
    button = qt.QPushButton()
    received.clear()
    button.connect("clicked()", plain)
    button.clicked()
    button.clicked.emit()
    assert received == ["plain", "plain"]


def test_dialogs_answer_with_the_value_alone(qt: Any, host: Host) -> None:
    host.answers.extend(["/a/file.nii", "/a/folder", ["/a", "/b"]])
    assert qt.QFileDialog.getOpenFileName(None, "Open") == "/a/file.nii"
    assert qt.QFileDialog.getExistingDirectory() == "/a/folder"
    assert qt.QFileDialog.getOpenFileNames() == ("/a", "/b")
