"""What Slicer would only print or wait for fails a test in the host: each kind of problem is planted and found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import host.fixtures
from host.fixtures import Open

if TYPE_CHECKING:
    from host.running import Host

pytest_plugins = ("pytester",)


def click_into(slot: Callable[[], Any]) -> None:
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", slot)
    button.click()


def raise_in_observer() -> None:
    import slicer

    def planted(caller: Any, event: str) -> None:
        raise ValueError("planted")

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver("ModifiedEvent", planted)
    node.SetText("changed")


def cause_vtk_error() -> None:
    import vtk

    vtk.vtkImageReader2().Update()


def warn_in_qt() -> None:
    import qt

    qt.QPixmap(0, 0).scaled(3, 3)


def ask_modally() -> None:
    import qt

    qt.QMessageBox.warning(None, "Title", "Really?")


def ask_without_answer() -> None:
    import slicer

    assert slicer.util.confirmOkCancelDisplay("Really?") is False


def raise_in_slot() -> None:
    click_into(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (raise_in_slot, "exception in a slot of QPushButton '', clicked(): ZeroDivisionError"),
        (raise_in_observer, "ValueError: planted"),
        (cause_vtk_error, "VTK: "),
        (warn_in_qt, "Qt: "),
        (ask_modally, "modal dialog: QMessageBox 'Really?'"),
        (ask_without_answer, "question 'Really?' that the test did not answer"),
    ],
)
def test_problem_is_noted(host: Host, cause: Callable[[], None], sentence: str) -> None:
    cause()
    assert len(host.problems) == 1
    host.expect_problem(sentence)
    assert host.problems == []


def test_problems_fail_the_test(pytester: pytest.Pytester) -> None:
    """The fixture itself: a problem that the test did not expect, and an answer that nothing asked for."""
    pytester.makeconftest("from host.fixtures import host, scene")
    pytester.makepyfile(
        """
        def test_slot(host):
            import qt
            button = qt.QPushButton()
            button.connect("clicked()", lambda: 1 / 0)
            button.click()

        def test_answer(host):
            host.answers.append(True)

        def test_clean(host):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=2)


def test_missing_qt_fails_and_says_what_to_do(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.fixtures, "find_spec", lambda name: None)
    pytester.makeconftest("from host.fixtures import host, scene")
    pytester.makepyfile("def test_panel(host): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install*PySide6_Essentials*"])


def test_what_is_shown_and_answered_is_kept(host: Host) -> None:
    import slicer

    host.answers.extend([True, False])
    assert slicer.util.confirmYesNoDisplay("One?") is True
    assert slicer.util.confirmYesNoDisplay("Two?") is False
    slicer.util.errorDisplay("Bad.", detailedText="why")
    assert host.errors == [("Bad.", "why")]
    assert [kind for kind, _, _ in host.messages] == ["question", "question", "error"]


def test_ui_file_with_unknown_names_is_refused(host: Host, tmp_path: Any) -> None:
    import slicer

    from host.ui_files import UiError

    path = tmp_path / "panel.ui"
    text = (
        '<ui version="4.0"><widget class="{kind}" name="top"><property name="{name}"><string>x</string></property>'
        '<widget class="QLabel" name="{child}"/></widget></ui>'
    )
    for kind, name, child, part in (
        ("QWidget", "toolTipp", "label", "no property 'toolTipp'"),
        ("QWidgett", "toolTip", "label", "unknown class QWidgett"),
        ("QWidget", "toolTip", "top", "two widgets"),
    ):
        path.write_text(text.format(kind=kind, name=name, child=child), encoding="utf-8")
        with pytest.raises(UiError, match=part):
            slicer.util.loadUI(str(path))
    path.write_text(text.format(kind="QWidget", name="toolTip", child="label"), encoding="utf-8")
    assert slicer.util.childWidgetVariables(slicer.util.loadUI(str(path))).label.text == ""


def test_host_leaves_nothing_behind(open_panel: Open, host: Host) -> None:
    """Everything a panel observes is let go when it is closed."""
    panel = open_panel("ChiSeparation")
    scene = host.scene
    host.close(panel)
    assert panel.Observations == []
    assert not panel.logic.getParameterNode().HasObserver("ModifiedEvent")
    assert scene is not None
