"""The panels in the test host: buttons, progress, errors, life of the scene."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from host.fixtures import Fake, Open

if TYPE_CHECKING:
    from host.running import Host

#: Modules whose panel asks for a method, and the field that must be filled in.
SEPARATING = (("ChiSepReconstruct", "mapsFolderPathLineEdit"),)


#: How long a cancelled run may still show, s.
CANCEL_LIMIT_S = 2.0


def background_of(panel: Any) -> str:
    """ID of the volume that the red slice view shows."""
    import slicer

    return str(slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID())


@pytest.mark.parametrize(
    ("module", "field", "parameter"),
    [
        ("ChiSepPreprocess", "grePathLineEdit", "gre"),
        ("ChiSepReconstruct", "mapsFolderPathLineEdit", "mapsFolder"),
        ("ChiSeparation", "grePathLineEdit", "gre"),
    ],
)
def test_click_run_loads_nodes(
    open_panel: Open, host: Host, fake: Fake, tmp_path: Path, module: str, field: str, parameter: str
) -> None:
    panel = open_panel(module, fake("succeed"))
    ui = panel.ui
    assert not ui.runButton.enabled
    assert not ui.cancelButton.enabled
    getattr(ui, field).currentPath = str(tmp_path)
    assert panel.logic.getParameterNode().GetParameter(parameter) == str(tmp_path)
    assert ui.runButton.enabled
    ui.runButton.click()
    assert not ui.runButton.enabled
    assert ui.cancelButton.enabled
    host.wait_until(lambda: ui.runButton.enabled)
    assert set(panel.nodes) == {"r2star", "chi_para"}
    # The home page has views of its own for the maps, and leaves the user's alone.
    assert background_of(panel) == ("None" if module == "ChiSeparation" else panel.nodes["chi_para"].GetID())
    assert ui.progressBar.value == 100
    assert ui.messagesTextEdit.plainText == "the phase unit was read from the range"
    assert "2 volumes" in ui.statusLabel.text
    assert not panel._timer.active
    assert not ui.cancelButton.enabled
    assert host.errors == []


def test_panel_hands_over_every_parameter(open_panel: Open, host: Host, fake: Fake) -> None:
    arguments: list[str] = []

    def command(given: Sequence[str]) -> list[str]:
        arguments[:] = given
        return fake("silent")(given)

    panel = open_panel("ChiSeparation", command)
    ui = panel.ui
    for name in ("gre", "grePhase", "se", "flair", "mask", "output"):
        getattr(ui, f"{name}PathLineEdit").currentPath = f"/data/{name}"
    ui.methodComboBox.currentIndex = 0
    ui.r2primeSourceComboBox.currentIndex = 1
    ui.overwriteCheckBox.checked = True
    method = panel.logic.getParameterNode().GetParameter("method")
    panel.startJob().close()
    assert method != "closed-form"
    assert arguments == [
        "run", "--gre", "/data/gre", "--gre-phase", "/data/grePhase", "--se", "/data/se", "--flair", "/data/flair",
        "--mask", "/data/mask", "--overwrite", "--method", method, "--r2prime-source", "r2primenet",
        "--maps-only", "-o", "/data/output",
    ]  # fmt: skip


@pytest.mark.parametrize(("module", "required"), SEPARATING)
def test_panel_hands_over_where_r2prime_comes_from(open_panel: Open, fake: Fake, module: str, required: str) -> None:
    arguments: list[str] = []

    def command(given: Sequence[str]) -> list[str]:
        arguments[:] = given
        return fake("silent")(given)

    panel = open_panel(module, command)
    getattr(panel.ui, required).currentPath = "/data/study"
    panel.startJob().close()
    at = arguments.index("--r2prime-source") + 1
    assert arguments[at] == "maps"
    panel.ui.r2primeSourceComboBox.currentIndex = 1
    panel.startJob().close()
    assert arguments[at] == "r2primenet"


@pytest.mark.parametrize(("module", "required"), SEPARATING)
def test_refinement_follows_the_scene(open_panel: Open, fake: Fake, module: str, required: str) -> None:
    panel = open_panel(module, fake("succeed"))
    node = panel.logic.getParameterNode()
    node.SetParameter("method", "chi-sepnet-r2prime")
    assert panel.ui.refineCheckBox.enabled
    panel.exit()
    assert not panel.ui.refineCheckBox.enabled
    node.SetParameter("refine", "True")
    node.SetParameter("r2primeSource", "r2primenet")
    panel.enter()
    assert panel.ui.refineCheckBox.enabled
    assert panel.ui.refineCheckBox.checked
    assert panel.ui.r2primeSourceComboBox.currentIndex == 1


def test_reconstruct_panel_tells_the_time_of_the_networks(
    open_panel: Open, host: Host, fake: Fake, tmp_path: Path
) -> None:
    panel = open_panel("ChiSepReconstruct", fake("tell_time"))
    ui = panel.ui
    ui.timeLabel.text = "of an earlier run"
    ui.mapsFolderPathLineEdit.currentPath = str(tmp_path)
    ui.runButton.click()
    assert ui.timeLabel.text == ""
    host.wait_until(lambda: ui.runButton.enabled)
    assert ui.timeLabel.text == "CPU, 8 threads, about 40 s"


def test_parameters_reach_the_panel_from_the_scene(open_panel: Open, fake: Fake) -> None:
    panel = open_panel("ChiSeparation", fake("succeed"))
    panel.exit()
    node = panel.logic.getParameterNode()
    node.SetParameter("se", "/data/se")
    node.SetParameter("overwrite", "True")
    assert panel.ui.sePathLineEdit.currentPath == ""
    panel.enter()
    assert panel.ui.sePathLineEdit.currentPath == "/data/se"
    assert panel.ui.overwriteCheckBox.checked
    assert panel.ui.methodComboBox.currentIndex >= 0


def test_exit_lets_go_of_the_scene(open_panel: Open, fake: Fake) -> None:
    panel = open_panel("ChiSepPreprocess", fake("succeed"))
    node = panel.logic.getParameterNode()
    watched = node.HasObserver("ModifiedEvent")
    panel.exit()
    assert watched
    assert not node.HasObserver("ModifiedEvent")
    panel.ui.grePathLineEdit.currentPath = "/elsewhere"
    assert node.GetParameter("gre") == ""


def test_entering_again_adds_nothing(open_panel: Open, host: Host, fake: Fake) -> None:
    panel = open_panel("ChiSeparation", fake("succeed"))
    nodes, observed = host.scene.GetNumberOfNodes(), len(panel.Observations)
    for _ in range(2):
        host.exit(panel)
        host.enter(panel)
    assert host.scene.GetNumberOfNodes() == nodes
    assert len(panel.Observations) == observed


def test_cancel_stops_and_says_so(open_panel: Open, host: Host, fake: Fake, tmp_path: Path) -> None:
    panel = open_panel("ChiSeparation", fake("hang"))
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    host.wait_until(lambda: panel.ui.progressBar.value == 50)
    panel.ui.cancelButton.click()
    host.wait_until(lambda: panel.ui.runButton.enabled, CANCEL_LIMIT_S)
    assert panel.ui.statusLabel.text == "Cancelled."
    assert panel.ui.progressBar.value == 0
    assert panel.nodes == {}
    assert host.errors == []


def test_error_is_one_sentence_with_details(open_panel: Open, host: Host, fake: Fake, tmp_path: Path) -> None:
    panel = open_panel("ChiSeparation", fake("bad_input"))
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    host.wait_until(lambda: panel.ui.runButton.enabled)
    sentence = "echo times: got nothing; expected seconds."
    assert host.errors == []
    assert panel.ui.statusLabel.text == sentence
    assert panel.ui.detailsButton.visible
    assert panel.ui.detailsTextEdit.plainText == "chisep: echo times: got nothing"


def test_child_that_cannot_start_is_an_error(open_panel: Open, host: Host, tmp_path: Path) -> None:
    panel = open_panel("ChiSeparation", lambda arguments: ["/no/such/python"])
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    assert "could not be started" in panel.ui.statusLabel.text
    assert panel.ui.runButton.enabled
    assert not panel._timer.active


def test_fault_while_loading_is_shown_and_leaves_the_panel_usable(
    open_panel: Open, host: Host, fake: Fake, tmp_path: Path
) -> None:
    def load(result: Any, folder_name: str) -> Any:
        raise ZeroDivisionError("planted")

    panel = open_panel("ChiSeparation", fake("succeed"), load=load)
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    host.wait_until(lambda: panel.ui.runButton.enabled)
    assert panel.ui.statusLabel.text == "Something went wrong: planted"
    assert "ZeroDivisionError" in panel.ui.detailsTextEdit.plainText


def test_closing_the_scene_stops_the_computation(
    open_panel: Open, host: Host, fake: Fake, scene: Any, tmp_path: Path
) -> None:
    panel = open_panel("ChiSeparation", fake("hang"))
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    job = panel._job
    scene.Clear(0)
    assert job.finished or job.child._process.poll() is not None
    assert panel._job is None
    assert not panel._timer.active
    assert panel.ui.grePathLineEdit.currentPath == ""
    panel.ui.grePathLineEdit.currentPath = "/again"
    assert panel.logic.getParameterNode().GetParameter("gre") == "/again"
    assert panel.ui.runButton.enabled


def test_cleanup_stops_the_computation_and_removes_observers(
    open_panel: Open, host: Host, fake: Fake, tmp_path: Path
) -> None:
    panel = open_panel("ChiSeparation", fake("hang"))
    panel.ui.grePathLineEdit.currentPath = str(tmp_path)
    panel.ui.runButton.click()
    job = panel._job
    panel.cleanup()
    assert job.child._process.poll() is not None
    assert panel.Observations == []


def test_panel_brings_its_own_logic(open_panel: Open) -> None:
    logic = open_panel("ChiSepReconstruct").logic
    assert isinstance(logic, importlib.import_module("ChiSepReconstruct").ChiSepReconstructLogic)
