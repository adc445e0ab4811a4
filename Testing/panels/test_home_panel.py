"""The home page in the test host: four steps, sample data, display tools, what it remembers."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ChiSeparationLib import workflow
from ChiSepPreprocessLib.artifacts import Map, ScanParameters
from ChiSepPreprocessLib.files import write_map, write_nifti
from ChiSepPreprocessLib.gui.worker import Result
from ChiSepPreprocessLib.scene.layouts import FOUR_GRID, LAYOUTS, composite_node, current_layout
from ChiSepPreprocessLib.scene.nodes import add_map
from home_scene import GRID, SHOWN, add_everything, headings, maps, open_steps, whole_run
from host.fixtures import Fake, Open

if TYPE_CHECKING:
    from host.running import Host

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("made")
    whole_run(folder)
    return folder


@pytest.fixture
def panel(open_panel: Open, fake: Fake) -> Any:
    return open_panel("ChiSeparation", fake("succeed"))


def test_empty_page_says_what_is_next(panel: Any) -> None:
    assert headings(panel) == ["next", "missing", "missing", "missing"]
    assert open_steps(panel) == [1]
    assert not panel.ui.runButton.enabled
    assert panel.ui.studyLabel.text == "Choose the folder of a study, or make a simulated patient."
    assert not panel.ui.studyTable.visible
    assert panel._parameterNode.method == "auto"


def test_scene_decides_what_is_done(panel: Any, host: Host) -> None:
    one = maps()[2]
    assert one.name == "local_field"
    add_map(host.scene, one)
    host.wait_until(lambda: headings(panel) == ["done", "done", "next", "missing"])
    assert panel.ui.mapsLabel.text == "In the scene: local_field."
    nodes = add_everything(host.scene)
    host.wait_until(lambda: headings(panel) == ["done", "done", "done", "next"])
    assert "chi_para, chi_dia, chi_total, by closed-form" in panel.ui.chiLabel.text
    for name in ("chi_para", "chi_dia", "chi_total"):
        host.scene.RemoveNode(nodes[name])
    host.wait_until(lambda: headings(panel) == ["done", "done", "next", "missing"])


def test_opening_a_step_folds_the_others_and_is_remembered(panel: Any, host: Host) -> None:
    panel.ui.chiButton.click()
    assert open_steps(panel) == [3]
    assert panel.logic.getParameterNode().GetParameter("step") == "3"
    panel.ui.chiButton.click()  # the user may fold it again
    panel._parameterNode.overwrite = True
    assert open_steps(panel) == []
    host.exit(panel)
    host.enter(panel)
    assert open_steps(panel) == [3]


def test_saved_scene_opens_at_its_step_with_its_tools(panel: Any, host: Host, tmp_path: Path) -> None:
    nodes = add_everything(host.scene)
    ui = panel.ui
    ui.viewButton.click()
    ui.underlayComboBox.setCurrentNode(nodes["flair"])
    ui.opacitySlider.value = 0.25
    ui.legendCheckBox.checked = True
    assert host.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    host.scene.Clear(0)
    assert open_steps(panel) == [1]
    assert not ui.legendCheckBox.checked
    assert host.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    host.wait_until(lambda: open_steps(panel) == [4])
    assert ui.opacitySlider.value == pytest.approx(0.25)
    assert ui.legendCheckBox.checked
    assert ui.underlayComboBox.currentNode().GetName() == "flair"
    host.wait_until(lambda: headings(panel)[:3] == ["done"] * 3)


def test_module_buttons_open_modules(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer.util

    opened: list[str] = []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    for name in ("load", "maps", "chi", "view"):
        getattr(panel.ui, f"{name}ModuleButton").click()
    assert opened == ["DICOM", "ChiSepPreprocess", "ChiSepReconstruct", "SegmentEditor"]


# Step 1


def test_folder_is_read_and_listed(panel: Any, host: Host, tmp_path: Path) -> None:
    scan = ScanParameters(echo_times_s=(0.004, 0.008, 0.012), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    echoes = np.ones((*GRID.shape, 3), np.float32)
    write_map(Map(name="gre_magnitude", data=echoes, grid=GRID), scan, tmp_path / "Größe 1")
    panel.ui.grePathLineEdit.currentPath = str(tmp_path / "Größe 1")
    host.wait_until(lambda: headings(panel)[0] == "running")
    assert panel.ui.studyLabel.text == "Looking at what is in there…"
    host.wait_until(lambda: headings(panel)[0] != "running", 60.0)
    assert headings(panel)[0] == "missing"
    assert panel.ui.runButton.enabled  # the run says more precisely what it lacks
    assert panel.ui.studyLabel.text.startswith("The phase is missing: export the phase images")
    table = panel.ui.studyTable
    assert table.visible
    assert [table.item(0, column).text() for column in (0, 1)] == ["not used", "magnitude, 3 echoes, 4.0–12.0 ms"]
    assert "36 × 44 × 36 voxels of 4 × 4 × 4 mm" in table.item(0, 0).toolTip()
    panel.ui.grePathLineEdit.currentPath = ""
    assert not table.visible
    assert headings(panel)[0] == "next"


def test_folder_that_is_not_there_is_said(panel: Any, tmp_path: Path) -> None:
    panel.ui.grePathLineEdit.currentPath = str(tmp_path / "gone")
    assert panel.ui.studyLabel.text == f"This is not there: {tmp_path / 'gone'}"
    assert headings(panel)[0] == "missing"


def test_reading_that_fails_is_said(panel: Any, host: Host, tmp_path: Path) -> None:
    panel.study.logic._command = lambda arguments: [sys.executable, "-c", "raise SystemExit(3)"]
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    host.wait_until(lambda: "exit code 3" in panel.ui.studyLabel.text)
    assert headings(panel)[0] == "missing"
    panel.study.logic._command = lambda arguments: ["/no/such/python"]
    panel.ui.sePathLineEdit.currentPath = str(tmp_path)
    host.wait_until(lambda: "could not be started" in panel.ui.studyLabel.text)


def test_leaving_while_a_folder_is_read_leaves_no_process(panel: Any, host: Host, tmp_path: Path) -> None:
    panel.study.logic._command = lambda arguments: [sys.executable, "-c", "import time; time.sleep(60)"]
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    host.wait_until(lambda: panel.study._job is not None)
    job = panel.study._job
    host.close(panel)
    assert job.finished


def drop(panel: Any, *paths: Path) -> None:
    """Drop files on the place for that, as the file manager does."""
    import qt

    content = qt.QMimeData()
    content.setUrls([qt.QUrl.fromLocalFile(str(path)) for path in paths])
    (area,) = [one for one in panel.ui.loadButton.findChildren("QLabel") if one.acceptDrops]
    accepted: list[bool] = []
    event = SimpleNamespace(mimeData=lambda: content, acceptProposedAction=lambda: accepted.append(True))
    area.dragEnterEvent(event)
    assert accepted
    area.dropEvent(event)


def test_one_dropped_folder_is_taken(panel: Any, tmp_path: Path) -> None:
    drop(panel, tmp_path)
    assert panel.ui.grePathLineEdit.currentPath == str(tmp_path)
    drop(panel, tmp_path / "a", tmp_path / "b")
    assert panel.ui.grePathLineEdit.currentPath == str(tmp_path)
    assert "one folder" in panel.ui.statusLabel.text


def test_sample_button_makes_the_patient_once(
    panel: Any, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ChiSepPreprocessLib.gui import installation

    asked: list[tuple[str, ...]] = []

    def missing(*parts: str) -> tuple[str, ...]:
        asked.append(parts)
        return ()

    monkeypatch.setattr(installation, "missing", missing)
    monkeypatch.setattr("ChiSeparationLib.gui.widget.patient_folder", lambda: tmp_path / "patient")
    started: list[Sequence[str]] = []
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))

    def command(arguments: Sequence[str]) -> list[str]:
        started.append(arguments)
        target = Path(arguments[-1])
        write_nifti(target / "images" / "flair.nii.gz", np.ones(GRID.shape, np.float32), GRID)
        write_map(Map(name="lesions", data=np.ones(GRID.shape, np.int16), grid=GRID), scan, target / "truth")
        return [sys.executable, "-c", f'print(\'{{"event": "result", "output": "{target}"}}\')']

    panel.patientLogic._command = command
    for _ in range(2):
        panel.ui.sampleButton.click()
        host.wait_until(lambda: "simulated patient is loaded" in panel.ui.statusLabel.text)
        panel.ui.statusLabel.text = ""
    assert len(started) == 1
    assert asked == [("sample-data",)]
    assert panel.ui.grePathLineEdit.currentPath.endswith("dicom")
    assert panel.ui.runButton.enabled


# Run


def test_refinement_is_for_methods_that_may_do_it(open_panel: Open, fake: Fake) -> None:
    """The tick stays while another method is chosen, but is not handed over then."""
    given: list[Any] = []

    def command(arguments: Sequence[str]) -> list[str]:
        asked = list(arguments)
        file = asked[asked.index("--options") + 1] if "--options" in asked else None
        given.append(json.loads(Path(file).read_text(encoding="utf-8")) if file else {})
        return fake("silent")(arguments)

    panel = open_panel("ChiSeparation", command)
    ui, networks = panel.ui, {"chi-sepnet-r2prime", "chi-sepnet-r2star"}
    ui.grePathLineEdit.currentPath = "/data/study"
    ui.refineCheckBox.checked = True
    for method, refined in {"auto": networks, "chi-sepnet-r2star": {"chi-sepnet-r2star"}, "closed-form": set()}.items():
        ui.methodComboBox.currentIndex = ui.methodComboBox.findText(method)
        assert ui.refineCheckBox.enabled == bool(refined)
        panel.startJob().close()
        assert given[-1] == {name: {"refine": True} for name in refined}
    assert ui.refineCheckBox.checked


def test_run_everything_shows_the_maps_and_leaves_the_users_views(panel: Any, host: Host, made: Path) -> None:
    import slicer

    panel.logic._load = lambda result, name: panel_load(made, name)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    panel.ui.grePathLineEdit.currentPath = str(made)
    panel.ui.runButton.click()
    assert headings(panel) == ["running", "missing", "missing", "missing"]
    host.wait_until(lambda: panel.ui.runButton.enabled)
    assert open_steps(panel) == [4]
    assert current_layout(host.scene) is FOUR_GRID
    assert headings(panel) == ["done"] * 4
    assert [background(host.scene, view) for view in FOUR_GRID.views] == [panel.nodes[name].GetID() for name in SHOWN]
    assert red.GetBackgroundVolumeID() is None
    panel.ui.ownLayoutButton.click()
    assert current_layout(host.scene) is None
    assert headings(panel)[3] == "next"


def panel_load(folder: Path, name: str) -> dict[str, Any]:
    """Load the finished run in place of the fake child's."""
    from ChiSepPreprocessLib.gui.computation import load_maps

    return dict(load_maps(Result(folder, ()), name))


def background(scene: Any, view: Any) -> str:
    return str(composite_node(scene, view).GetBackgroundVolumeID())


def test_run_that_ends_elsewhere_waits_for_the_user(panel: Any, host: Host, made: Path) -> None:
    panel.logic._load = lambda result, name: panel_load(made, name)
    panel.ui.grePathLineEdit.currentPath = str(made)
    panel.ui.runButton.click()
    host.exit(panel)
    host.wait_until(lambda: panel._job is None)
    assert current_layout(host.scene) is None
    host.enter(panel)
    assert open_steps(panel) == [4]
    assert headings(panel) == ["done", "done", "done", "next"]
    assert host.errors == []


def test_progress_is_told_by_step(panel: Any, host: Host, tmp_path: Path) -> None:
    from ChiSepPreprocessLib.progress import Status

    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    told = {0.1: "running missing missing", 0.5: "done running missing", 0.9: "done done running"}
    for fraction, words in told.items():
        panel._showEvent(Status("step", fraction))
        assert headings(panel) == [*words.split(), "missing"]
    host.wait_until(lambda: panel.ui.runButton.enabled)


def test_shares_of_the_run_are_those_of_the_workflow() -> None:
    from ChiSeparationLib.gui import steps

    spans = re.findall(r"report\.span\(([\d.]+), ([\d.]+)\)", inspect.getsource(workflow.run))
    assert [float(end) for _start, end in spans] == list(steps._ENDS.values())


def test_messages_are_folded_away_until_there_are_some(panel: Any, host: Host, tmp_path: Path) -> None:
    assert not panel.ui.messagesCollapsibleButton.visible
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    host.wait_until(lambda: panel.ui.runButton.enabled)
    assert panel.ui.messagesCollapsibleButton.visible
    assert "phase unit" in panel.ui.messagesTextEdit.plainText


# Start-up and links


def test_module_offers_layouts_and_sample_data_at_startup(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    import ChiSeparation

    offered: list[dict[str, Any]] = []
    samples = ModuleType("SampleData")
    samples.__dict__["SampleDataLogic"] = SimpleNamespace(
        registerCustomSampleDataSource=lambda **given: offered.append(given)
    )
    monkeypatch.setitem(sys.modules, "SampleData", samples)
    ChiSeparation.ChiSeparation(SimpleNamespace())
    layout = host.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert not layout.IsLayoutDescription(LAYOUTS[0].number)
    host.app.startupCompleted.emit()
    assert layout.IsLayoutDescription(LAYOUTS[0].number)
    ((given),) = offered
    assert Path(given["thumbnailFileName"]).is_file()


def test_links_lead_to_headings_of_the_readme(panel: Any) -> None:
    home = re.search(r'EXTENSION_HOMEPAGE "(.+)"', (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert home is not None
    titles = re.findall(r"^#+ (.+)$", (REPOSITORY / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    links = re.findall(r'href="([^"]+)"', panel.ui.linksLabel.text)
    assert len(links) >= 3
    assert {link.split("#")[0] for link in links} == {home.group(1)}
    assert {link.split("#")[1] for link in links} <= anchors
    assert panel.ui.linksLabel.text.count("not for clinical use") == 1
