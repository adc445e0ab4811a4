"""The tab "Lesions" in the test host: a whole patient by keyboard, undo, blinding, saving, closing, reloading."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from ChiSeparationLib.lesions.grades import Grade
from host.fixtures import Fake, Open
from review_scene import METHODS, PLACES, add_lesions, add_methods, cells, grade_of, open_tab

if TYPE_CHECKING:
    from pathlib import Path

    from host.running import Host

PARA, DIA = 4, 5  # columns of the table
GRADES = list(Grade)


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the autosave away from the user's."""
    monkeypatch.setenv("CHISEP_DATA", str(tmp_path / "data"))


@pytest.fixture
def panel(open_panel: Open, fake: Fake) -> Any:
    return open_panel("ChiSeparation", fake("succeed"))


@pytest.fixture
def ui(panel: Any, host: Host) -> Any:
    """Give the tab's widgets with lesions and two methods, AB being the reader."""
    add_lesions(host.scene)
    add_methods(host.scene)
    return open_tab(panel, host)


def test_tab_is_made_when_it_is_first_opened(panel: Any, host: Host) -> None:
    assert panel.review is None
    assert panel.ui.lesionsPage.layout().count() == 0
    ui = open_tab(panel, host)
    assert "Choose the segmentation" in ui.lesionLabel.text
    assert not ui.gradingGroupBox.enabled
    assert not ui.nextButton.enabled
    assert ui.gradedProgressBar.text == "no lesions"
    assert not ui.segmentButton.enabled


def test_whole_patient_is_graded_by_keyboard(ui: Any, panel: Any, host: Host) -> None:
    given = {}
    for number in range(len(PLACES)):
        host.press("Alt+Right", panel.parent)
        lesion = f"Lesion_{ui.lesionTable.item(ui.lesionTable.currentRow(), 0).text()}"
        given[lesion] = (GRADES[number % 5], GRADES[(number + 2) % 5])
        host.press(f"Alt+{number % 5 + 1}", panel.parent)
        host.press(f"Alt+{(6 + (number + 2) % 5) % 10}", panel.parent)
    assert ui.gradedProgressBar.text == "6 of 6 graded"
    assert set(given) == {f"Lesion_{number}" for number in range(1, 7)}
    for lesion, (para, dia) in given.items():
        assert grade_of(panel, lesion, "chi_para") is para
        assert grade_of(panel, lesion, "chi_dia") is dia
    assert cells(ui, 3) == ["graded"] * 6
    host.press("Alt+Right", panel.parent)  # there is no next one
    host.press("Alt+C", panel.parent)
    host.press("Alt+C", panel.parent)
    assert cells(ui, 6)[ui.lesionTable.currentRow()] == "medium"


def test_buttons_grade_and_take_back(ui: Any, panel: Any) -> None:
    ui.lesionTable.setCurrentCell(1, 0)
    ui.para2Button.click()
    assert ui.para2Button.checked
    assert cells(ui, PARA)[1] == "subtly hyper"
    assert cells(ui, 3)[1] == "half"
    ui.para4Button.click()
    assert not ui.para2Button.checked
    assert grade_of(panel, "Lesion_2", "chi_para") is Grade.SUBTLE_HYPO
    ui.para4Button.click()
    assert not ui.para4Button.checked
    assert cells(ui, PARA)[1] == "–"
    assert panel.review.desk.session.reading.judgements == {}


def test_going_on_by_itself(ui: Any) -> None:
    ui.lesionTable.setCurrentCell(2, 0)
    ui.advanceCheckBox.click()
    ui.para1Button.click()
    assert ui.lesionTable.currentRow() == 2
    ui.dia3Button.click()
    assert ui.lesionTable.currentRow() == 3
    ui.previousButton.click()
    ui.dia4Button.click()  # a correction does not go on
    assert ui.lesionTable.currentRow() == 2


def test_undo_and_redo_show_what_they_change(ui: Any, panel: Any, host: Host) -> None:
    assert not ui.undoButton.enabled
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.dia5Button.click()
    ui.confidence3Button.click()  # concerns both maps, and is one step
    panel.review.desk.session.name_places({"Lesion_1": "left deep white matter"})  # as when names come late
    ui.nextButton.click()
    host.press("Alt+Z", panel.parent)
    assert ui.lesionTable.currentRow() == 0
    assert not ui.confidence3Button.checked
    assert (ui.para1Button.checked, ui.dia5Button.checked) == (True, True)
    ui.undoButton.click()
    ui.undoButton.click()
    assert panel.review.desk.session.reading.judgements == {}
    for _step in range(3):
        host.press("Alt+Y", panel.parent)
    assert grade_of(panel, "Lesion_1", "chi_dia") is Grade.HYPO
    assert ui.confidence3Button.checked
    assert not ui.redoButton.enabled


def test_comment_is_kept_when_the_reader_goes_on(ui: Any, panel: Any, host: Host) -> None:
    from PySide6.QtTest import QTest

    comment = "core | rim: Läsion 病変"
    ui.lesionTable.setCurrentCell(0, 0)
    host.press("Alt+M", panel.parent)
    assert host.app.focusWidget() is ui.commentLineEdit
    ui.commentLineEdit.insert(comment)
    panel.review.desk.refresh()  # as when a volume is loaded meanwhile
    host.press("Alt+Down", ui.commentLineEdit)
    assert ui.commentLineEdit.text == ""
    assert cells(ui, 7)[:2] == [comment, ""]
    ui.previousButton.click()
    ui.para3Button.click()
    ui.commentLineEdit.setFocus()
    ui.commentLineEdit.selectAll()
    QTest.keyClicks(ui.commentLineEdit, "other")
    host.press("Return", ui.commentLineEdit)
    (said,) = panel.review.desk.session.reading
    assert (said.grade, said.comment) == (Grade.ISO, "other")


def test_selecting_jumps_all_views(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(4, 0)
    lesion = panel.review.desk.session.lesion("Lesion_5")
    for name in ("ChiSepFlair", "ChiSepPara", "ChiSepDia", "ChiSepTotal", "Red"):
        node = host.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        matrix = node.GetSliceToRAS()
        assert [matrix.GetElement(row, 3) for row in range(3)] == pytest.approx(lesion.centroid_ras_mm)


def test_flicker_shows_the_other_method_and_does_not_grade_it(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    views = panel.review.desk.views
    assert (ui.pipelineComboBox.currentText, ui.otherPipelineComboBox.currentText) == METHODS
    host.press("Alt+X", panel.parent)
    assert views.pipeline == "chi-sep-medi"
    assert ui.flickerButton.checked
    host.press("Alt+1", panel.parent)
    assert panel.review.desk.session.reading.judgements == {}
    assert not ui.gradingGroupBox.enabled
    ui.flickerButton.click()
    assert views.pipeline == "closed-form"
    host.press("Alt+1", panel.parent)
    assert grade_of(panel, "Lesion_1", "chi_para") is Grade.HYPER


def test_outlines_and_reference_by_key(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    display = panel.review.desk.session.segmentation.GetDisplayNode()
    host.press("Alt+O", panel.parent)
    assert not display.GetVisibility()
    assert not ui.outlinesCheckBox.checked
    host.press("Alt+O", panel.parent)
    assert display.GetVisibility()
    before = host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    host.press("Alt+W", panel.parent)
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before + 1
    ui.nextButton.click()
    host.press("Alt+W", panel.parent)
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before


def test_suggestion_is_shown_only_if_wanted_and_fills_nothing_in(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    assert not ui.suggestionLabel.visible
    ui.suggestionCheckBox.click()
    assert ui.suggestionLabel.text == "Measuring the lesions…"
    host.wait_until(lambda: "suggestion" in ui.suggestionLabel.text)
    assert "χ para: hyperintense (suggestion)" in ui.suggestionLabel.text
    assert "+20.0 ppb" in ui.suggestionLabel.text
    assert "clear_from_ppb 10" in ui.suggestionLabel.toolTip
    assert panel.review.desk.session.reading.judgements == {}
    assert cells(ui, PARA)[0] == "–"


def test_maps_that_are_gone_are_said(ui: Any, panel: Any, host: Host) -> None:
    for node in panel.review.desk.session.volumes("closed-form").values():
        host.scene.RemoveNode(node)
    ui.lesionTable.setCurrentCell(0, 0)
    assert "volumes to show" in ui.lesionLabel.text
    ui.pipelineComboBox.currentIndex = 1
    assert panel.review.desk.views.pipeline == "chi-sep-medi"
    ui.para1Button.click()
    assert grade_of(panel, "Lesion_1", "chi_para") is Grade.HYPER


def test_readers_and_repeats_stay_apart(ui: Any, panel: Any) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.readerLineEdit.text = "CD"
    assert cells(ui, PARA)[0] == "–"
    ui.para5Button.click()
    ui.repeatSpinBox.value = 2
    assert cells(ui, PARA)[0] == "–"
    ui.repeatSpinBox.value = 1
    assert cells(ui, PARA)[0] == "hypo"
    ui.readerLineEdit.text = "AB"
    assert cells(ui, PARA)[0] == "hyper"
    ui.readerLineEdit.text = " "
    assert not ui.gradingGroupBox.enabled
    assert "initials" in ui.lesionLabel.text


# Blinded


def test_blinded_reading_names_no_method(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.suggestionCheckBox.click()
    host.wait_until(lambda: "suggestion" in ui.suggestionLabel.text)
    ui.blindedCheckBox.click()
    assert ui.lesionTable.rowCount == 2 * len(PLACES)
    numbers = cells(ui, 0)
    assert sorted(numbers) == sorted(f"{number} {letter}" for number in range(1, 7) for letter in "AB")
    assert [one.split()[0] for one in numbers] != sorted(one.split()[0] for one in numbers)
    for row in range(ui.lesionTable.rowCount):
        ui.lesionTable.setCurrentCell(row, 0)
        assert not any(method in shown for method in METHODS for shown in shown_texts(panel.review.panel))
    assert not ui.suggestionLabel.visible
    assert not ui.agreementButton.visible
    assert ui.gradedProgressBar.text == "0 of 12 graded"


def shown_texts(widget: Any) -> list[str]:
    """Every text that can be read in a widget and its tool tips."""
    found = []
    for one in (*widget.findChildren("QWidget"), widget):
        if not one.visible:
            continue
        found.append(one.toolTip)
        for name in ("text", "currentText", "plainText"):
            if any(one.inherits(kind) for kind in _READ[name]):
                found.append(getattr(one, name))
    return [str(text) for text in found]


_READ = {
    "text": ("QLabel", "QAbstractButton", "QLineEdit"), "currentText": ("QComboBox",), "plainText": ("QPlainTextEdit",),
}  # fmt: skip


def test_order_is_the_readers_own_and_comes_again(ui: Any) -> None:
    ui.blindedCheckBox.click()
    first = cells(ui, 0)
    ui.readerLineEdit.text = "CD"
    other = cells(ui, 0)
    assert other != first
    ui.readerLineEdit.text = "AB"
    assert cells(ui, 0) == first
    ui.seedSpinBox.value = 7
    assert cells(ui, 0) != first
    lesions = [one.split()[0] for one in first]
    assert all(one != following for one, following in pairwise(lesions))


def test_blinded_grades_are_of_the_method_behind_the_letter(ui: Any, panel: Any) -> None:
    ui.blindedCheckBox.click()
    for row in range(2 * len(PLACES)):
        ui.lesionTable.setCurrentCell(row, 0)
        assert panel.review.desk.views.pipeline == panel.review.desk.case.pipeline
        (ui.para1Button if panel.review.desk.case.pipeline == "chi-sep-medi" else ui.para5Button).click()
    said = {(one.question.pipeline, one.grade) for one in panel.review.desk.session.reading}
    assert said == {("chi-sep-medi", Grade.HYPER), ("closed-form", Grade.HYPO)}
    ui.blindedCheckBox.click()
    assert cells(ui, PARA) == ["hypo"] * 6
