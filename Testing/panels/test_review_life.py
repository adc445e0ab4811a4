"""The tab "Lesions" and the scene: correction, saving, closing, reloading, agreement, files, bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ChiSeparationLib.lesions.grades import Grade
from ChiSepPreprocessLib.artifacts import Map, ScanParameters
from ChiSepPreprocessLib.files import write_map, write_nifti
from home_scene import GRID
from host.fixtures import Fake, Open
from review_scene import PLACES, add_lesions, add_methods, cells, grade_of, lesion_labels, open_tab, set_segment

if TYPE_CHECKING:
    from host.running import Host

PARA, DIA = 4, 5  # columns of the table


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


# Correction


def test_editor_is_opened_with_its_own_node_and_let_go(ui: Any, panel: Any, host: Host) -> None:
    assert ui.correctionButton.findChildren("qMRMLSegmentEditorWidget") == ()
    ui.lesionTable.setCurrentCell(2, 0)
    ui.correctionButton.click()
    editor = panel.review.correction.editor
    assert editor.segmentationNode() is panel.review.desk.session.segmentation
    assert editor.sourceVolumeNode().GetName() == "flair"
    assert editor.mrmlSegmentEditorNode().GetSingletonTag() == "ChiSeparationLesions"
    assert editor.effectNameOrder() == ("Paint", "Erase", "Islands", "Scissors")
    assert not editor.unorderedEffectsVisible
    assert editor.currentSegmentID() == "Lesion_3"
    ui.nextButton.click()
    assert editor.currentSegmentID() == "Lesion_4"
    host.press("1", panel.parent)  # the editor's key, which does not grade
    assert editor.activeEffect().objectName == "Paint"
    assert panel.review.desk.session.reading.judgements == {}
    host.press("Alt+1", panel.parent)  # and the other way round
    assert editor.activeEffect().objectName == "Paint"
    assert grade_of(panel, "Lesion_4", "chi_para") is Grade.HYPER
    host.exit(panel)
    assert editor.activeEffect() is None
    assert editor.segmentationNode() is None
    host.enter(panel)
    assert editor.segmentationNode() is panel.review.desk.session.segmentation
    ui.correctionButton.click()
    host.press("2", panel.parent)
    assert editor.activeEffect() is None


def test_split_keeps_the_grade_and_numbers_the_part(ui: Any, panel: Any) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.dia3Button.click()
    ui.correctionButton.click()
    segmentation = panel.review.desk.session.segmentation
    i, j, k = PLACES[0]
    part = np.zeros(GRID.shape, bool)
    part[i, j : j + 2, k] = True
    set_segment(segmentation, "Lesion_1", (lesion_labels() == 1) & ~part)
    set_segment(segmentation, segmentation.GetSegmentation().AddEmptySegment("", "part"), part)
    assert ui.synchroniseButton.enabled
    ui.synchroniseButton.click()
    assert "1 new" in ui.correctionNoteLabel.text
    assert cells(ui, 0) == ["1", "2", "3", "4", "5", "6", "7"]
    assert cells(ui, PARA)[0] == cells(ui, PARA)[6] == "hyper"
    assert cells(ui, 2)[0] == "384"
    assert grade_of(panel, "Lesion_1", "chi_dia") is Grade.ISO
    assert ui.lesionTable.currentRow() == 0


def test_folding_the_editor_follows_a_deleted_lesion(ui: Any, panel: Any) -> None:
    ui.lesionTable.setCurrentCell(3, 0)
    ui.para1Button.click()
    ui.correctionButton.click()
    panel.review.desk.session.segmentation.GetSegmentation().RemoveSegment("Lesion_4")
    ui.correctionButton.click()
    assert cells(ui, 0) == ["1", "2", "3", "5", "6"]
    assert panel.review.desk.at is None
    assert "1 deleted" in ui.correctionNoteLabel.text


# Scene


def test_grades_come_back_with_the_scene(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    ui.lesionTable.setCurrentCell(1, 0)
    ui.para2Button.click()
    ui.repeatSpinBox.value = 2
    ui.dia4Button.click()
    ui.seedSpinBox.value = 42
    assert host.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    host.scene.Clear(0)
    assert ui.lesionTable.rowCount == 0
    assert ui.readerLineEdit.text == ""
    assert not ui.gradingGroupBox.enabled
    assert host.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    host.wait_until(lambda: ui.lesionTable.rowCount == len(PLACES))
    assert (ui.readerLineEdit.text, ui.repeatSpinBox.value, ui.seedSpinBox.value) == ("AB", 2, 42)
    assert (cells(ui, PARA)[1], cells(ui, DIA)[1]) == ("–", "subtly hypo")
    ui.repeatSpinBox.value = 1
    assert (cells(ui, PARA)[1], cells(ui, DIA)[1]) == ("subtly hyper", "–")


def test_closing_the_scene_while_correcting(ui: Any, panel: Any, host: Host) -> None:
    ui.correctionButton.click()
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    host.scene.Clear(0)
    assert panel.review.correction.editor.segmentationNode() is None
    assert panel.review.desk.session is None
    assert not ui.correctionButton.enabled
    add_lesions(host.scene)
    add_methods(host.scene)
    host.wait_until(lambda: ui.lesionTable.rowCount == len(PLACES))
    assert cells(ui, PARA) == ["–"] * 6


def test_removing_the_segmentation_ends_the_reading(ui: Any, panel: Any, host: Host) -> None:
    host.scene.RemoveNode(panel.review.desk.session.segmentation)
    host.process_events()
    assert ui.lesionTable.rowCount == 0
    assert "Choose the segmentation" in ui.lesionLabel.text


def test_keys_are_left_to_others_outside_of_the_tab(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    panel.ui.pageTabs.setCurrentIndex(0)
    host.press("Alt+1", panel.parent)
    panel.ui.pageTabs.setCurrentIndex(1)
    host.exit(panel)
    host.press("Alt+2", host.window.window)
    host.enter(panel)
    assert panel.review.desk.session.reading.judgements == {}
    host.press("Alt+3", panel.parent)
    assert grade_of(panel, "Lesion_1", "chi_para") is Grade.ISO


def test_reload_gives_the_grades_again(ui: Any, panel: Any, host: Host) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.dia1Button.click()
    again = host.reload("ChiSeparation")
    fresh = open_tab(again, host)
    assert again.review.desk is not panel.review.desk
    assert cells(fresh, PARA)[0] == "hyper"
    host.press("Alt+2", again.parent)
    host.press("Alt+Right", again.parent)
    host.press("Alt+2", again.parent)
    assert cells(fresh, PARA)[:2] == ["hyper", "subtly hyper"]


def test_grades_of_a_crash_are_offered(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    assert host.scene.WriteToMRB(str(tmp_path / "before.mrb"))
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    assert not ui.recoverButton.visible
    host.scene.Clear(0)  # as far as the file tells, the program has ended here
    assert host.scene.ReadFromMRB(str(tmp_path / "before.mrb"), True)
    host.wait_until(lambda: ui.recoverButton.visible)
    assert cells(ui, PARA)[0] == "–"
    assert "1 grades" in ui.recoverButton.text
    ui.recoverButton.click()
    assert cells(ui, PARA)[0] == "hyper"
    assert not ui.recoverButton.visible


# Sources


def test_search_in_flair_brings_lesions(ui: Any, panel: Any, host: Host) -> None:
    started: list[Sequence[str]] = []
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))

    def command(arguments: Sequence[str]) -> list[str]:
        started.append(arguments)
        for option in ("--flair", "--brain-mask"):
            assert Path(arguments[arguments.index(option) + 1]).is_file()
        target = Path(arguments[-1])
        write_map(Map(name="lesions", data=lesion_labels(PLACES[:2]), grid=GRID), scan, target)
        return [sys.executable, "-c", f"print({json.dumps(json.dumps({'event': 'result', 'output': str(target)}))})"]

    panel.review.source.search._command = command
    ui.sourceButton.click()
    ui.minimumVolumeSpinBox.value = 30.0
    ui.segmentButton.click()
    assert ui.cancelSegmentButton.visible
    assert not ui.segmentButton.enabled
    host.wait_until(lambda: ui.lesionTable.rowCount == 2)
    assert ui.sourceNoteLabel.text == "2 lesions."
    assert list(started[0][:2]) == ["lesions", "segment"]
    assert ui.segmentButton.enabled


def test_search_that_fails_or_is_cancelled_changes_nothing(ui: Any, panel: Any, host: Host) -> None:
    panel.review.source.search._command = lambda arguments: [sys.executable, "-c", "raise SystemExit(3)"]
    ui.segmentButton.click()
    host.wait_until(lambda: "exit code 3" in ui.sourceNoteLabel.text)
    panel.review.source.search._command = lambda arguments: [sys.executable, "-c", "import time; time.sleep(60)"]
    ui.segmentButton.click()
    ui.cancelSegmentButton.click()
    host.wait_until(lambda: ui.sourceNoteLabel.text == "Cancelled.")
    assert ui.lesionTable.rowCount == len(PLACES)


def test_lesions_of_another_program_are_imported(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    write_nifti(tmp_path / "mask.nii.gz", (lesion_labels() > 0).astype(np.uint8), GRID)
    write_nifti(tmp_path / "lst.nii.gz", (0.7 * (lesion_labels(PLACES[:3]) > 0)).astype(np.float32), GRID)
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    host.answers.append(str(tmp_path / "mask.nii.gz"))
    ui.importButton.click()
    host.wait_until(lambda: ui.sourceNoteLabel.text == "6 lesions.")
    assert cells(ui, PARA) == ["–"] * 6  # others than before
    host.answers.append(str(tmp_path / "lst.nii.gz"))
    ui.importButton.click()
    host.wait_until(lambda: "probability map" in ui.sourceNoteLabel.text)
    ui.importThresholdSpinBox.value = 0.5
    host.answers.append(str(tmp_path / "lst.nii.gz"))
    ui.importButton.click()
    host.wait_until(lambda: ui.lesionTable.rowCount == 3)


def test_slicers_segmentation_brings_its_grades(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    node = panel.review.desk.session.segmentation
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "lesions.seg.nrrd"))
    assert node.GetStorageNode().WriteData(node)
    host.scene.RemoveNode(node)
    host.answers.append(str(tmp_path / "lesions.seg.nrrd"))
    ui.importButton.click()
    assert ui.lesionTable.rowCount == len(PLACES)
    assert cells(ui, PARA)[0] == "hyper"


def test_lesions_in_one_segment_are_parted(ui: Any, panel: Any, host: Host) -> None:
    assert not ui.uniteButton.visible
    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "all")
    set_segment(node, node.GetSegmentation().AddEmptySegment("", "all"), lesion_labels() > 0)
    ui.segmentationComboBox.setCurrentNode(node)
    assert ui.lesionTable.rowCount == 1
    ui.sourceButton.click()
    ui.uniteButton.click()
    assert ui.lesionTable.rowCount == len(PLACES)


def test_lesions_get_the_names_of_their_places(ui: Any, host: Host) -> None:
    host.wait_until(lambda: all(" (approximate)" in place for place in cells(ui, 1)[:5]))
    sides = [place.split()[0] for place in cells(ui, 1)[:2]]
    assert sides == ["left", "right"]


def test_segmentation_without_lesions_is_a_result(ui: Any, host: Host) -> None:
    ui.segmentationComboBox.setCurrentNode(host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty"))
    assert ui.lesionTable.rowCount == 0
    assert "may be the right answer" in ui.lesionLabel.text


def test_lesions_without_maps_are_listed_and_graded_once_maps_come(panel: Any, host: Host) -> None:
    add_lesions(host.scene)
    ui = open_tab(panel, host)
    assert ui.lesionTable.rowCount == len(PLACES)
    assert "no χ maps" in ui.lesionLabel.text
    ui.lesionTable.setCurrentCell(0, 0)
    host.press("Alt+1", panel.parent)
    assert panel.review.desk.session.reading.judgements == {}
    add_methods(host.scene)
    host.wait_until(lambda: ui.pipelineComboBox.count == 2)
    ui.lesionTable.setCurrentCell(0, 0)
    host.press("Alt+1", panel.parent)
    assert grade_of(panel, "Lesion_1", "chi_para") is Grade.HYPER


def test_lesion_outside_of_the_maps_is_flagged_and_comes_last(ui: Any) -> None:
    assert cells(ui, 3) == [*["open"] * 5, "flagged"]
    ui.lesionTable.setCurrentCell(4, 0)
    ui.nextUngradedButton.click()
    assert ui.lesionTable.currentRow() == 0
    ui.lesionTable.setCurrentCell(5, 0)
    assert "100 % of the lesion lie outside" in ui.lesionLabel.text


def test_segmentation_that_cannot_be_read_is_said(ui: Any, panel: Any, host: Host) -> None:
    node = add_lesions(host.scene)
    node.SetAndObserveTransformNodeID(host.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    ui.segmentationComboBox.setCurrentNode(node)
    assert "transform" in ui.lesionLabel.text
    assert ui.lesionTable.rowCount == 0


# Agreement and files


def test_agreement_of_two_methods_leads_to_the_lesions_that_differ(ui: Any, panel: Any) -> None:
    for at, method in enumerate(("closed-form", "chi-sep-medi")):
        ui.pipelineComboBox.currentIndex = at
        for row in range(5):
            ui.lesionTable.setCurrentCell(row, 0)
            (ui.para2Button if (row, method) == (3, "chi-sep-medi") else ui.para1Button).click()
    ui.agreementButton.click()
    assert ui.firstRaterComboBox.currentText == "AB on closed-form"
    assert ui.secondRaterComboBox.currentText == "AB on chi-sep-medi"
    assert ui.agreementTable.item(0, 0).text() == "4"
    assert ui.agreementTable.item(0, 1).text() == "1"
    assert ui.agreementLabel.text.startswith("4 of 5 alike (80.0 %")
    assert ui.discordantList.count == 1
    ui.discordantList.setCurrentRow(0)
    assert ui.lesionTable.currentRow() == 3
    ui.agreementMapComboBox.currentIndex = 1
    assert "No lesion" in ui.agreementLabel.text or "judg" in ui.agreementLabel.text


def test_reading_is_saved_and_loaded(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    ui.exportButton.click()
    assert not ui.saveReadingButton.enabled
    assert ui.saveReadingButton.toolTip == "Nothing has been graded yet."
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.patientLineEdit.text = "P7"
    for name in ("reading", "grades.csv"):
        host.answers.append(str(tmp_path / name))
        ui.saveReadingButton.click()
    assert json.loads((tmp_path / "reading.json").read_text(encoding="utf-8"))["patient"] == "P7"
    assert "hyper" in (tmp_path / "grades.csv").read_text(encoding="utf-8")
    for name in ("reading.json", "grades.csv"):
        ui.para1Button.click()
        assert cells(ui, PARA)[0] == "–"
        host.answers.append(str(tmp_path / name))
        ui.loadReadingButton.click()
        assert cells(ui, PARA)[0] == "hyper"
    (tmp_path / "no.json").write_text("{", encoding="utf-8")
    host.answers.append(str(tmp_path / "no.json"))
    ui.loadReadingButton.click()
    assert "no.json" in ui.exportNoteLabel.text


def test_report_is_written_in_the_background(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    ui.lesionTable.setCurrentCell(0, 0)
    ui.para1Button.click()
    ui.exportButton.click()
    ui.patientLineEdit.text = "P7"
    host.answers.append(str(tmp_path / "page"))
    ui.reportButton.click()
    assert not ui.reportButton.enabled
    host.wait_until(lambda: ui.exportNoteLabel.text == "Saved: page.html", 60.0)
    assert "hyperintense" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ui.reportButton.enabled


def test_dicom_needs_the_images(ui: Any, panel: Any, host: Host, tmp_path: Path) -> None:
    ui.exportButton.click()
    assert not ui.dicomButton.enabled
    assert "choose them as Images on the tab Maps" in ui.dicomButton.toolTip
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    host.wait_until(lambda: panel.study is not None and not panel.study.isReading, 60.0)
    panel.ui.pageTabs.setCurrentIndex(0)
    panel.ui.pageTabs.setCurrentIndex(1)
    assert ui.dicomButton.enabled
    host.answers.append(str(tmp_path))
    ui.dicomButton.click()
    host.wait_until(lambda: "DICOM" in ui.exportNoteLabel.text, 60.0)  # there is none in that folder
    assert not (tmp_path / "lesions").exists()
