"""The panel of ChiSepPreprocess in the test host: input, options, mask, results, errors, life of the scene."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ChiSepPreprocessLib.acquisition_files import write_acquisition
from ChiSepPreprocessLib.artifacts import Acquisition
from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepPreprocessLib.files import read_mask, write_json
from ChiSepPreprocessLib.gui.step_options import choices
from ChiSepPreprocessLib.loading import load_acquisition
from ChiSepPreprocessLib.scene.sequences import add_acquisition
from host.fixtures import Fake, Open
from small_acquisition import SHAPE, make_acquisition

if TYPE_CHECKING:
    from host.running import Host


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study ü 1"
    write_acquisition(make_acquisition(), folder)
    return folder


class Asked:
    """Keeps what the command line was asked for."""

    def __init__(self, command: Any) -> None:
        self.arguments: list[str] = []
        self.options: dict[str, Any] = {}
        self._command = command

    def __call__(self, arguments: Sequence[str]) -> list[str]:
        self.arguments = list(arguments)
        file = self.value("--options")
        self.options = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
        command: list[str] = self._command(arguments)
        return command

    def value(self, option: str) -> str:
        return self.arguments[self.arguments.index(option) + 1] if option in self.arguments else ""


def ready(open_panel: Open, host: Host, command: Any, folder: Path) -> Any:
    """Panel with a folder whose table has been read."""
    panel = open_panel("ChiSepPreprocess", command)
    panel.ui.grePathLineEdit.currentPath = str(folder)
    host.wait_until(lambda: not panel._study.is_reading, 120)
    return panel


def finish(panel: Any, host: Host) -> None:
    host.wait_until(lambda: not panel.isBusy, 120)


# What a folder holds


def test_the_table_shows_what_was_found_and_a_choice_reaches_the_run(
    open_panel: Open, host: Host, fake: Fake, study_folder: Path
) -> None:
    asked = Asked(fake("silent"))
    panel = ready(open_panel, host, asked, study_folder)
    ui = panel.ui
    kinds = [ui.studyTable.item(number, 2).text() for number in range(ui.studyTable.rowCount)]
    assert kinds == ["magnitude", "phase", "spin echo magnitude", "FLAIR"]
    assert ui.studyTable.item(0, 4).text() == "4.1, 12.3, 20.7"
    assert ui.studyTable.item(0, 5).text() == "13 × 11 × 9"
    assert not ui.statementsGroupBox.isVisibleTo(panel.parent)
    panel.startJob().close()
    assert asked.arguments[:3] == ["preprocess", "--gre", str(study_folder)]
    ui.studyTable.cellWidget(2, 1).currentIndex = 0
    panel.startJob().close()
    assert "--se" not in asked.arguments
    assert asked.value("--gre") == str(study_folder / "gre_magnitude.nii")
    assert asked.value("--gre-phase") == str(study_folder / "gre_phase.nii")
    assert asked.value("--flair") == str(study_folder / "flair.nii")
    host.exit(panel)
    host.enter(panel)
    assert ui.studyTable.cellWidget(2, 1).currentText == "not used"


def test_what_the_headers_do_not_say_gets_a_field(open_panel: Open, host: Host, fake: Fake, study_folder: Path) -> None:
    for name in ("gre_magnitude", "gre_phase"):
        write_json(study_folder / f"{name}.json", {
            "ScanningSequence": "GR", "ImageType": ["DERIVED", "PRIMARY", "M" if "magn" in name else "P"],
        })  # fmt: skip
    asked = Asked(fake("silent"))
    panel = ready(open_panel, host, asked, study_folder)
    ui, shown = panel.ui, panel.parent
    assert ui.fieldStrengthRow.isVisibleTo(shown)
    assert ui.echoTimesRow.isVisibleTo(shown)
    assert not ui.seEchoTimesRow.isVisibleTo(shown)
    assert not ui.phaseUnitRow.isVisibleTo(shown)
    ui.fieldStrengthSpinBox.value = 2.893
    ui.echoTimesLineEdit.text = "4.1, 12.3 20.7"
    panel.startJob().close()
    assert asked.value("--field-strength") == "2.893"
    assert asked.value("--echo-times") == "0.0041,0.0123,0.0207"
    ui.echoTimesLineEdit.text = "4.1 zwölf"
    ui.runButton.click()
    assert "echo times" in ui.statusLabel.text
    assert ui.runButton.enabled
    assert host.errors == []


def test_a_dropped_folder_is_the_input(open_panel: Open, host: Host, study_folder: Path) -> None:
    import qt

    panel = open_panel("ChiSepPreprocess")
    panel.ui.sourceComboBox.currentIndex = 1
    data = qt.QMimeData()
    data.setUrls([qt.QUrl.fromLocalFile(str(study_folder))])
    widget = panel.ui.grePathLineEdit.window().findChild("QWidget", "ChiSepPreprocess")
    drop = qt.QDropEvent(qt.QPointF(5, 5), qt.Qt.CopyAction, data, qt.Qt.LeftButton, qt.Qt.NoModifier)
    assert panel._drop.eventFilter(widget, drop)
    assert panel.ui.grePathLineEdit.currentPath == str(study_folder)
    assert panel.ui.folderWidget.isVisibleTo(panel.parent)


# Loaded images


def test_loaded_images_are_handed_over_as_files(open_panel: Open, host: Host, fake: Fake, scene: Any) -> None:
    one = make_acquisition()
    nodes = add_acquisition(scene, replace(one, warnings=("Confirm the phase.",)))
    read: list[Acquisition] = []

    def command(arguments: Sequence[str]) -> list[str]:
        read.append(load_acquisition([Path(arguments[list(arguments).index("--gre") + 1])]))
        return fake("succeed")(arguments)

    panel = open_panel("ChiSepPreprocess", command)
    ui = panel.ui
    ui.sourceComboBox.currentIndex = 1
    assert not ui.runButton.enabled
    for role, name in (
        ("magnitude", "gre_magnitude"),
        ("phase", "gre_phase"),
        ("se", "se_magnitude"),
        ("flair", "flair"),
    ):
        getattr(ui, f"{role}NodeComboBox").setCurrentNode(nodes[name])
    assert ui.runButton.enabled
    assert not ui.statementsGroupBox.isVisibleTo(panel.parent)
    ui.runButton.click()
    finish(panel, host)
    assert set(panel.nodes) == {"r2star", "chi_para"}
    np.testing.assert_array_equal(read[0].gre_magnitude, one.gre_magnitude)
    np.testing.assert_allclose(read[0].gre_phase, one.gre_phase, atol=1e-6)
    assert read[0].grid.matches(one.grid)
    assert read[0].spin_echo is not None
    assert read[0].spin_echo.is_turbo
    assert read[0].flair is not None
    assert "Confirm the phase." in ui.messagesTextEdit.plainText
    host.exit(panel)
    host.enter(panel)
    assert ui.phaseNodeComboBox.currentNode() is nodes["gre_phase"]


def test_a_node_under_a_transform_is_refused_in_one_sentence(
    open_panel: Open, host: Host, fake: Fake, scene: Any
) -> None:
    nodes = add_acquisition(scene, make_acquisition())
    shown = nodes["gre_browser"].GetProxyNode(nodes["gre_phase"])
    shown.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    panel = open_panel("ChiSepPreprocess", fake("succeed"))
    panel.ui.sourceComboBox.currentIndex = 1
    panel.ui.magnitudeNodeComboBox.setCurrentNode(nodes["gre_magnitude"])
    panel.ui.phaseNodeComboBox.setCurrentNode(nodes["gre_phase"])
    panel.ui.runButton.click()
    finish(panel, host)
    assert "transform" in panel.ui.statusLabel.text
    assert panel.ui.runButton.enabled


# Run, results, errors


def test_options_reach_the_run_and_reset_takes_them_back(
    open_panel: Open, host: Host, fake: Fake, study_folder: Path
) -> None:
    asked = Asked(fake("silent"))
    panel = ready(open_panel, host, asked, study_folder)
    ui = panel.ui
    ui.backgroundMethodComboBox.currentIndex = choices("backgroundMethod").index("v-sharp")
    ui.vsharpRadiusSpinBox.value = 8.0
    ui.correctBipolarCheckBox.checked = True
    panel.startJob().close()
    assert asked.options == {"preprocess": {
        "background": {"method": "v-sharp", "vsharp": {"maximum_radius_mm": 8.0}}, "correct_bipolar": True,
    }}  # fmt: skip
    assert asked.value("--preset") == "best"
    host.press("Down", ui.presetComboBox)
    assert ui.maskMethodComboBox.currentText == "bet"
    panel.startJob().close()
    assert asked.value("--preset") == "chi-sepnet"
    assert asked.options == {}
    ui.resetButton.click()
    assert ui.presetComboBox.currentText == "best"
    assert ui.maskMethodComboBox.currentText == "bet+phase-quality"


def test_a_failure_is_told_in_the_panel_and_the_run_can_be_repeated(
    open_panel: Open, host: Host, fake: Fake, study_folder: Path
) -> None:
    commands = iter(("bad_input", "succeed"))
    panel = ready(open_panel, host, lambda given: fake(next(commands))(given), study_folder)
    ui, shown = panel.ui, panel.parent
    assert not ui.detailsButton.isVisibleTo(shown)
    ui.runButton.click()
    finish(panel, host)
    assert ui.statusLabel.text == "echo times: got nothing; expected seconds."
    assert ui.detailsButton.isVisibleTo(shown)
    assert ui.detailsButton.collapsed
    assert ui.detailsTextEdit.plainText == "chisep: echo times: got nothing"
    assert ui.echoTimesRow.isVisibleTo(shown)
    assert host.errors == []
    ui.runButton.click()
    assert not ui.detailsButton.isVisibleTo(shown)
    finish(panel, host)
    assert set(panel.nodes) == {"r2star", "chi_para"}
    assert ui.timeLeftLabel.text == ""


def test_missing_packages_are_asked_about_once(
    open_panel: Open, host: Host, fake: Fake, study_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = ready(open_panel, host, fake("succeed"), study_folder)
    module = sys.modules[type(panel).__mro__[1].__module__]
    needed: list[tuple[str, ...]] = []

    def ensure(*parts: str, ask: Any, progress: Any) -> tuple[str, ...]:
        needed.append(parts)
        if not ask(("numba>=0.60", "dcm2niix")):
            raise MissingDependencyError("Not installed: numba. Start again and agree.")
        return ()

    monkeypatch.setattr(module, "ensure", ensure)
    host.answers.append(False)
    panel.ui.denoiseCheckBox.checked = True
    panel.ui.runButton.click()
    assert panel.ui.statusLabel.text == "Not installed: numba. Start again and agree."
    assert panel.ui.runButton.enabled
    host.answers.append(True)
    panel.ui.runButton.click()
    finish(panel, host)
    assert set(panel.nodes) == {"r2star", "chi_para"}
    assert needed == [("denoise",)] * 2
    questions = [text for kind, text, _ in host.messages if kind == "question"]
    assert len(questions) == 2
    assert "numba>=0.60" in questions[0]


_CHILD = """
import json, sys, numpy as np
from pathlib import Path
from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import write_json, write_map
from matplotlib.image import imsave
arguments = sys.argv[1:]
output = Path(arguments[arguments.index("-o") + 1])
affine = np.array([[0.9, 0, 0, 11], [0, 1.1, 0, -23], [0, 0, 2.3, 7.5], [0, 0, 0, 1.0]])
grid = Grid((13, 11, 9), affine)
scan = ScanParameters(echo_times_s=(0.004, 0.01), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
mask = np.zeros(grid.shape, bool)
mask[3:9, 2:8, 2:7] = True
for name, data in (("magnitude", np.ones(grid.shape, np.float32)), ("brain_mask", mask)):
    write_map(Map(name=name, data=data, grid=grid, method="bet"), scan, output / "maps")
if "--until" not in arguments:
    imsave(output / "quality.png", np.zeros((60, 80)))
    write_json(output / "provenance.json", {"quality": {"warnings": ["The phase residual is large."]}})
print(json.dumps({"event": "result", "output": str(output), "maps": ["magnitude", "brain_mask"]}))
"""


def child(arguments: Sequence[str]) -> list[str]:
    """Command that writes a mask, and a quality page unless it stops there."""
    return [sys.executable, "-c", _CHILD, *arguments]


def test_the_mask_is_made_edited_and_used(
    open_panel: Open, host: Host, scene: Any, study_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer.util

    asked = Asked(child)
    panel = ready(open_panel, host, asked, study_folder)
    ui = panel.ui
    assert not ui.editMaskButton.enabled
    ui.maskErosionSpinBox.value = 2.0
    ui.makeMaskButton.click()
    finish(panel, host)
    assert asked.value("--until") == "brain_mask"
    assert "--mask" not in asked.arguments
    node = ui.brainMaskNodeComboBox.currentNode()
    assert node.IsA("vtkMRMLSegmentationNode")
    assert scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0
    assert ui.editMaskButton.enabled
    opened: list[Any] = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    editor = type("Editor", (), {
        "setSegmentationNode": lambda self, one: opened.append(one.GetID()),
        "setSourceVolumeNode": lambda self, one: opened.append(one.GetName()),
    })()  # fmt: skip
    representation = type("Representation", (), {"self": lambda self: type("Widget", (), {"editor": editor})})()
    module = type("Module", (), {"widgetRepresentation": lambda self: representation})()
    monkeypatch.setattr(slicer.modules, "segmenteditor", module, raising=False)
    ui.editMaskButton.click()
    assert opened == ["SegmentEditor", node.GetID(), "magnitude"]
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, "Brain")
    edited = array.copy()
    edited[edited > 0] = np.where(np.arange(int((edited > 0).sum())) % 2, 1, 0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, node, "Brain")
    job = panel.startJob()
    mask, grid = read_mask(Path(asked.value("--mask")))
    job.close()
    assert grid.shape == SHAPE
    assert int(mask.sum()) == int(edited.sum()) == 90
    assert asked.options == {"preprocess": {"mask": {"erosion_mm": 0.0}}}


def test_quality_page_and_running_a_step_again(
    open_panel: Open, host: Host, study_folder: Path, tmp_path: Path
) -> None:
    asked = Asked(child)
    panel = ready(open_panel, host, asked, study_folder)
    ui, shown = panel.ui, panel.parent
    assert not ui.qualityButton.isVisibleTo(shown)
    assert not ui.backgroundAgainButton.enabled
    ui.runButton.click()
    finish(panel, host)
    assert ui.qualityButton.isVisibleTo(shown)
    assert ui.qualityWarningsLabel.text == "⚠ The phase residual is large."
    ui.qualityOpenButton.click()
    assert panel._quality._window.isVisible()
    output = asked.value("-o")
    assert "--overwrite" not in asked.arguments
    assert not ui.backgroundAgainButton.enabled  # nothing has changed
    ui.backgroundMethodComboBox.currentIndex = choices("backgroundMethod").index("pdf")
    assert ui.backgroundAgainButton.enabled
    assert not ui.r2starAgainButton.enabled
    ui.backgroundAgainButton.click()
    finish(panel, host)
    assert asked.value("-o") == output
    assert "--overwrite" in asked.arguments
    assert asked.options == {"preprocess": {"background": {"method": "pdf"}}}
    assert not ui.backgroundAgainButton.enabled
    host.close(panel)
    assert not Path(output).exists()


def test_a_closed_scene_leaves_nothing_behind_and_a_second_one_starts_afresh(
    open_panel: Open, host: Host, scene: Any, study_folder: Path
) -> None:
    panel = ready(open_panel, host, child, study_folder)
    panel.ui.backgroundMethodComboBox.currentIndex = 1
    panel.ui.runButton.click()
    finish(panel, host)
    for _ in range(2):
        scene.Clear(0)
        assert panel.ui.grePathLineEdit.currentPath == ""
        assert panel.ui.studyTable.rowCount == 0
        assert not panel.ui.qualityButton.isVisibleTo(panel.parent)
        assert panel.ui.backgroundMethodComboBox.currentIndex == 0
        panel.ui.grePathLineEdit.currentPath = str(study_folder)
        assert panel.logic.getParameterNode().GetParameter("gre") == str(study_folder)
    host.wait_until(lambda: not panel._study.is_reading, 120)
    assert panel.ui.studyTable.rowCount == 4


def test_a_scene_brings_its_options_and_images_back(open_panel: Open, host: Host, scene: Any, tmp_path: Path) -> None:
    panel = open_panel("ChiSepPreprocess")
    ui = panel.ui
    ui.sourceComboBox.currentIndex = 1
    ui.phaseNodeComboBox.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLSequenceNode", "phase of patient 1"))
    ui.presetComboBox.currentIndex = 1
    ui.pseudoR2SpinBox.value = 17.5
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()
    scene.Clear(0)
    assert (ui.pseudoR2SpinBox.value, ui.sourceComboBox.currentIndex) == (13.0, 0)
    assert ui.phaseNodeComboBox.currentNode() is None
    assert scene.Connect()
    host.process_events()
    assert (ui.pseudoR2SpinBox.value, ui.sourceComboBox.currentIndex) == (17.5, 1)
    assert ui.presetComboBox.currentText == "chi-sepnet"
    assert ui.phaseNodeComboBox.currentNode().GetName() == "phase of patient 1"


def test_a_reloaded_module_keeps_the_parameters(open_panel: Open, host: Host, study_folder: Path) -> None:
    panel = open_panel("ChiSepPreprocess")
    panel.ui.r2starMethodComboBox.currentIndex = choices("r2starMethod").index("arlo")
    again = host.reload("ChiSepPreprocess")
    assert again is not panel
    assert again.ui.r2starMethodComboBox.currentText == "arlo"
    assert panel.Observations == []


def test_every_field_has_words_and_can_be_reached_by_keyboard(open_panel: Open) -> None:
    ui = open_panel("ChiSepPreprocess").ui
    for name, widget in vars(ui).items():
        if name.endswith(("SpinBox", "CheckBox", "ComboBox", "LineEdit", "AgainButton")):
            assert widget.toolTip, name
            label = getattr(ui, f"{name}Label", None)
            assert label is None or label.buddy() == widget, name
