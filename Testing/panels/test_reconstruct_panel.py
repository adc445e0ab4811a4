"""The panel of ChiSepReconstruct in the test host: input, methods, weights, devices, options, results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid, Kind, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_mapset, write_map
from ChiSepPreprocessLib.scene.layouts import COMPARISON, FOUR_GRID, current_layout
from ChiSepPreprocessLib.scene.nodes import add_image, add_maps
from ChiSepPreprocessLib.scene.volume_display import chosen_window, has_legend
from ChiSepReconstructLib.gui import tasks
from ChiSepReconstructLib.gui.option_fields import as_text, changed, fields_of, from_text, value_of
from ChiSepReconstructLib.methods import METHODS
from host.fixtures import Fake, Open

if TYPE_CHECKING:
    from host.running import Host

GRID = Grid((6, 7, 8), np.diag([1.0, 1.0, 2.0, 1.0]))
SCAN = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=GRID.b0_direction_ijk)
MEASURED = ("local_field", "brain_mask", "r2star")
CHECKED, UNCHECKED = 2, 0
IS_ENABLED = 32


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of weights go to a folder of the test."""
    monkeypatch.setenv("CHISEP_DATA", str(tmp_path / "data"))


def a_map(name: str, value: float = 0.25, method: str = "given") -> Map:
    """Map of one value."""
    is_mask = ARTIFACTS[name].kind is Kind.MASK
    data = np.ones(GRID.shape, bool) if is_mask else np.full(GRID.shape, value, np.float32)
    return Map(name=name, data=data, grid=GRID, method=method)


def a_mapset(*names: str, value: float = 0.25, method: str = "given") -> MapSet:
    """Maps of one value each."""
    return MapSet(GRID, SCAN, {name: a_map(name, value, method) for name in names})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Maps of gradient echoes alone."""
    for name in MEASURED:
        write_map(a_map(name), SCAN, tmp_path / "maps")
    return tmp_path / "maps"


def install() -> Any:
    """Put a set of random weights into the test's folder."""
    from installed_weights import install as install_random  # loads torch

    return install_random()


class Recorder:
    """A command that keeps its arguments and the options file, and then behaves as a fake child."""

    def __init__(self, then: Callable[[Sequence[str]], Sequence[str]]) -> None:
        self.then = then
        self.arguments: list[str] = []
        self.options: dict[str, Any] = {}
        self.maps: MapSet | None = None

    def __call__(self, arguments: Sequence[str]) -> Sequence[str]:
        """Take note of the call."""
        self.arguments = list(arguments)
        file = self.after("--options")
        self.options = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
        if Path(arguments[1]).is_dir():
            self.maps = read_mapset(Path(arguments[1]))
        return self.then(arguments)

    def after(self, option: str) -> str:
        """Value of an option; empty without it."""
        return self.arguments[self.arguments.index(option) + 1] if option in self.arguments else ""


class Tasks:
    """Side tasks that answer at once with what the test says, or fail with a sentence."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[tuple[str, dict[str, Any]]]()

    def __call__(self, arguments: Sequence[str]) -> list[str]:
        """Take note of the call."""
        name, content = arguments
        self.asked.append((name, json.loads(content)))
        answer = self.answers[name]
        events: list[dict[str, Any]] = [{"event": "error", "message": str(answer), "exit_code": 2}]
        if not isinstance(answer, Exception):
            events = [{"event": "warning", "message": json.dumps(answer)}, {"event": "result", "output": "."}]
        lines = "\n".join(map(json.dumps, events))
        return [sys.executable, "-c", f"import sys; sys.stdout.write({lines!r}); sys.exit({len(events) - 2})"]


def item_of(panel: Any, method: str) -> Any:
    """Row of the list of methods."""
    titles = {"auto": "Automatic"} | {name: one.title for name, one in METHODS.items()}
    shown = panel.ui.methodsListWidget
    rows = [shown.item(row) for row in range(shown.count)]
    return next(one for one in rows if one.text().splitlines()[0] == titles[method])


def check(panel: Any, method: str, state: int = CHECKED) -> None:
    """Click the check mark of a method, which is refused where it is greyed."""
    import qt

    item = item_of(panel, method)
    assert int(item.flags().value) & IS_ENABLED, f"{method} is greyed: {item.text()}"
    item.setCheckState(qt.Qt.CheckState(state))


def is_usable(panel: Any, method: str) -> bool:
    """Whether a method can be checked."""
    return bool(int(item_of(panel, method).flags().value) & IS_ENABLED)


def only(panel: Any, *methods: str) -> None:
    """Check these methods and no other."""
    for name in methods:
        check(panel, name)
    for name in panel.logic.getParameterNode().GetParameter("method").split(","):
        if name not in methods:
            check(panel, name, UNCHECKED)


# Methods


def test_every_method_is_offered_automatic_first(open_panel: Open, fake: Fake) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    shown = panel.ui.methodsListWidget
    titles = [shown.item(row).text().splitlines()[0] for row in range(shown.count)]
    assert titles[0] == "Automatic"
    assert sorted(titles[1:]) == sorted(one.title for one in METHODS.values())
    assert panel.logic.getParameterNode().GetParameter("method") == "auto"


@pytest.mark.usefixtures("data_folder")
def test_what_a_method_lacks_is_said_beside_it(open_panel: Open, fake: Fake, folder: Path) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    assert is_usable(panel, "closed-form")  # nothing is known of the maps yet
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    assert panel.ui.foundLabel.text == "Found: brain mask, local field, R2*."
    assert is_usable(panel, "r2star-qsm")
    said = {name: item_of(panel, name).text().partition("\n")[2] for name in METHODS if not is_usable(panel, name)}
    assert said["closed-form"].startswith("Missing: R2′.")
    assert said["chi-sepnet-r2star"] == "No installed set has weights of χ-sepnet, R2PRIMEnet."
    assert said["cosmos"] == "Needs maps of at least 2 head orientations."
    assert "from DICOM" in said["decompose"]
    write_map(a_map("r2prime"), SCAN, folder)
    panel.enter()
    assert is_usable(panel, "closed-form")


def test_several_methods_run_as_a_batch(open_panel: Open, host: Host, fake: Fake, folder: Path) -> None:
    command = Recorder(fake("succeed"))
    panel = open_panel("ChiSepReconstruct", command)
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    only(panel, "tkd", "r2star-qsm")
    panel.ui.runButton.click()
    host.wait_until(lambda: panel.ui.runButton.enabled)
    assert command.after("--method") == "r2star-qsm,tkd"  # in the order of the list
    assert command.options == {}


def test_without_a_method_nothing_runs(open_panel: Open, fake: Fake, folder: Path) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    assert panel.ui.runButton.enabled
    check(panel, "auto", UNCHECKED)
    assert not panel.ui.runButton.enabled


def test_a_method_of_the_scene_that_cannot_run_says_why_and_can_be_unchecked(
    open_panel: Open, fake: Fake, folder: Path
) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    panel.logic.getParameterNode().SetParameter("method", "closed-form,tkd")
    assert not panel.ui.runButton.enabled
    assert "Missing: R2′" in panel.ui.runButton.toolTip
    check(panel, "closed-form", UNCHECKED)
    assert not is_usable(panel, "closed-form")
    assert panel.ui.runButton.enabled


def test_r2prime_by_a_network_serves_methods_that_use_it(open_panel: Open, fake: Fake, folder: Path) -> None:
    install()
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    panel.ui.r2primeSourceComboBox.currentIndex = 1
    assert panel.logic.getParameterNode().GetParameter("r2primeSource") == "r2primenet"
    assert is_usable(panel, "closed-form")
    assert not is_usable(panel, "tkd")
    assert "Does not use R2′" in item_of(panel, "tkd").text()


@pytest.mark.parametrize("method", ["auto", "chi-sepnet-r2star"])
def test_refinement_and_networks_are_handed_over(open_panel: Open, fake: Fake, folder: Path, method: str) -> None:
    install()
    command = Recorder(fake("silent"))
    panel = open_panel("ChiSepReconstruct", command)
    ui = panel.ui
    ui.mapsFolderPathLineEdit.currentPath = str(folder)
    only(panel, method)
    assert ui.refineCheckBox.enabled
    ui.refineCheckBox.checked = True
    ui.weightsComboBox.currentIndex = 1
    ui.resolutionComboBox.currentIndex = 1
    ui.deviceComboBox.currentIndex = 1
    panel.startJob().close()
    expected = {"weights": "random", "resolution": "best", "engine": {"device": "cpu"}}
    assert command.options["chi-sepnet-r2star"] == {**expected, "refine": True}
    assert set(command.options) - {"r2primenet"} == (
        {"chi-sepnet-r2prime", "chi-sepnet-r2star"} if method == "auto" else {method}
    )
    only(panel, "tkd")
    assert not ui.refineCheckBox.enabled
    panel.startJob().close()
    assert "tkd" not in command.options


# Input


def test_orientations_let_cosmos_run(open_panel: Open, host: Host, fake: Fake, folder: Path) -> None:
    command = Recorder(fake("silent"))
    panel = open_panel("ChiSepReconstruct", command)
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    host.answers.append("/data/turned left")
    panel.ui.addOrientationButton.click()
    only(panel, "cosmos")
    assert not is_usable(panel, "tkd")
    panel.startJob().close()
    assert command.after("--orientation") == "/data/turned left"
    panel.ui.removeOrientationButton.click()
    assert panel.ui.orientationsListWidget.count == 0
    assert not panel.ui.runButton.enabled


def test_volumes_become_maps_for_the_child(open_panel: Open, host: Host, fake: Fake) -> None:
    """Values, grid and scan arrive; what the volumes do not tell is asked for."""
    from ChiSepReconstructLib.gui.logic import task_command

    command = Recorder(fake("succeed"))
    panel = open_panel("ChiSepReconstruct", command, task_command=task_command)
    add_maps(host.scene, a_mapset(*MEASURED, value=0.125, method="measured"), folder_name="Maps")
    ui = panel.ui
    ui.inputKindComboBox.currentIndex = 1
    assert not ui.runButton.enabled
    ui.takeVolumesButton.click()
    assert ui.foundLabel.text == "Found: brain mask, local field, R2*."
    ui.runButton.click()
    assert "echo times: got nothing" in ui.statusLabel.text
    ui.fieldStrengthLineEdit.text = "3"
    ui.echoTimesLineEdit.text = "5, 10"
    ui.runButton.click()
    assert command.arguments == []
    host.wait_until(lambda: ui.runButton.enabled, 60.0)
    assert ui.statusLabel.text == "Done: 2 volumes loaded."
    assert command.maps is not None
    assert set(command.maps) == set(MEASURED)
    assert command.maps.scan == SCAN
    assert command.maps.grid.matches(GRID)
    assert command.maps["r2star"].method == "measured"
    assert np.all(command.maps.array("r2star") == 0.125)
    assert not Path(command.arguments[1]).exists()


def test_volumes_on_their_way_can_be_stopped(
    open_panel: Open, host: Host, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def hanging(arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(60)"]

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    panel = open_panel("ChiSepReconstruct", fake("succeed"), task_command=hanging)
    add_maps(host.scene, a_mapset(*MEASURED), folder_name="Maps")
    given = panel._parameterNode
    given.inputKind, given.fieldStrength, given.echoTimes = "volumes", "3", "5"
    panel.ui.takeVolumesButton.click()
    panel.ui.runButton.click()
    host.wait_until(lambda: panel._job._writer is not None)
    assert list((tmp_path / "temporary").glob("*/local_field.npy"))
    panel.ui.cancelButton.click()
    host.wait_until(lambda: panel.ui.runButton.enabled, 2.0)
    assert panel.ui.statusLabel.text == "Cancelled."
    assert list((tmp_path / "temporary").iterdir()) == []


def test_volumes_from_elsewhere_must_lie_as_in_the_scanner(open_panel: Open, host: Host, fake: Fake) -> None:
    from ChiSepPreprocessLib.artifacts import Image

    panel = open_panel("ChiSepReconstruct", fake("silent"))
    node = add_image(host.scene, "field", Image(np.zeros(GRID.shape, np.float32), GRID))
    given = panel._parameterNode
    given.localField, given.inputKind, given.fieldStrength, given.echoTimes = node, "volumes", "3", "5"
    with pytest.raises(InputError, match="axes of the volume 'field'"):
        panel.startJob()
    given.inScannerSpace = True
    panel.startJob().close()


# Options


def test_an_option_is_taken_handed_over_and_reset(open_panel: Open, fake: Fake, folder: Path) -> None:
    command = Recorder(fake("silent"))
    panel = open_panel("ChiSepReconstruct", command)
    ui = panel.ui
    ui.mapsFolderPathLineEdit.currentPath = str(folder)
    only(panel, "tkd")
    table = ui.optionsTable
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert names == [one.name for one in fields_of(METHODS["tkd"])]
    row = names.index("threshold")
    usual = table.item(row, 1).text()
    table.item(row, 1).setText("0.3")
    assert json.loads(panel.logic.getParameterNode().GetParameter("options")) == {"tkd": {"threshold": 0.3}}
    panel.startJob().close()
    assert command.options == {"tkd": {"threshold": 0.3}}
    table.item(row, 1).setText("much")
    assert "threshold" in ui.optionsErrorLabel.text
    assert table.item(row, 1).text() == "0.3"
    ui.resetOptionsButton.click()
    assert table.item(row, 1).text() == usual
    assert ui.optionsErrorLabel.text == ""
    assert panel.logic.getParameterNode().GetParameter("options") == ""


def test_a_choice_is_a_list_of_its_words(open_panel: Open, fake: Fake, folder: Path) -> None:
    panel = open_panel("ChiSepReconstruct", fake("silent"))
    write_map(a_map("r2prime"), SCAN, folder)
    panel.ui.mapsFolderPathLineEdit.currentPath = str(folder)
    only(panel, "chi-sep-medi")
    fields = fields_of(METHODS["chi-sep-medi"])
    row = [one.name for one in fields].index("qsm.method")
    box = panel.ui.optionsTable.cellWidget(row, 1)
    assert [box.itemText(index) for index in range(box.count)] == list(fields[row].choices)
    other = next(index for index in range(box.count) if index != box.currentIndex)
    box.currentIndex = other
    box.activated.emit(other)
    assert panel.options.content == {"chi-sep-medi": {"qsm": {"method": fields[row].choices[other]}}}


def test_broken_options_of_a_scene_are_said_and_reset(open_panel: Open, fake: Fake) -> None:
    panel = open_panel("ChiSepReconstruct", fake("silent"))
    panel.logic.getParameterNode().SetParameter("options", '{"tkd": 3}')
    assert panel.ui.optionsErrorLabel.text
    with pytest.raises(InputError):
        panel.options.content  # noqa: B018
    panel.ui.resetOptionsButton.click()
    assert panel.logic.getParameterNode().GetParameter("options") == ""


@pytest.mark.parametrize("name", METHODS)
def test_every_option_is_explained_and_survives_the_table(name: str) -> None:
    method = METHODS[name]
    for field in fields_of(method):
        assert field.explanation, field.name
        value = from_text(field, as_text(field.default)) if not field.choices else field.default
        content = changed({}, field, value)
        assert method.options(content) == method.options()
        assert content == {}
    assert fields_of(method)


def test_a_changed_option_lies_in_its_group() -> None:
    field = next(one for one in fields_of(METHODS["chi-sepnet-r2star"]) if one.name == "engine.memory_gib")
    content = changed({"engine": {"tile": "whole"}}, field, from_text(field, "1.5"))
    assert content == {"engine": {"tile": "whole", "memory_gib": 1.5}}
    assert value_of(content, field) == 1.5
    assert changed(content, field, from_text(field, " ")) == {"engine": {"tile": "whole"}}
    tile = next(one for one in fields_of(METHODS["chi-sepnet-r2star"]) if one.name == "engine.tile")
    assert from_text(tile, "64, 64, 32") == [64, 64, 32]
    assert from_text(tile, "whole") == "whole"


# Weights and devices

OFFER: Mapping[str, Any] = {
    "manifest": {
        "name": "offered", "title": "Three networks", "training_domain": "in vivo", "licence": "academic use alone",
        "source": "their authors", "networks": {"qsmnet": {"file": "q.safetensors", "size_bytes": 2_000_000,
                                                           "sha256": "ab" * 32}},
    },
    "size_bytes": 2_000_000, "present_bytes": 500_000,
}  # fmt: skip


def test_sets_are_listed_and_own_ones_removed(open_panel: Open, host: Host, fake: Fake, tmp_path: Path) -> None:
    install()
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    table = panel.ui.weightsTable
    rows = [table.item(row, 0).text() for row in range(table.rowCount)]
    (row,) = (number for number, text in enumerate(rows) if text.startswith("random: "))
    assert all(table.item(row, column).text() for column in range(3))
    assert is_usable(panel, "chi-sepnet-r2prime")
    table.selectRow(row)
    host.answers.append(False)
    panel.ui.removeWeightsButton.click()
    assert (tmp_path / "data" / "weights" / "random").is_dir()
    host.answers.append(True)
    panel.ui.removeWeightsButton.click()
    assert not (tmp_path / "data" / "weights" / "random").exists()
    assert table.rowCount == len(rows) - 1
    assert "deleted" in panel.ui.weightsStatusLabel.text


def test_nothing_is_fetched_before_the_licence_is_shown(open_panel: Open, host: Host, fake: Fake) -> None:
    tasks_of_test = Tasks(inspect=OFFER, download="offered")
    ui = open_panel("ChiSepReconstruct", fake("succeed"), task_command=tasks_of_test).ui
    ui.weightsUrlLineEdit.text = "https://example.org/manifest.json"
    assert not ui.downloadWeightsButton.enabled
    ui.inspectWeightsButton.click()
    host.wait_until(lambda: ui.downloadWeightsButton.enabled)
    shown = ui.offerTextEdit.plainText
    for part in ("academic use alone", "ab" * 32, "2.0 MB", "0.5 MB", "in vivo"):
        assert part in shown
    ui.downloadWeightsButton.click()
    host.wait_until(lambda: "is installed" in ui.weightsStatusLabel.text)
    url = "https://example.org/manifest.json"
    assert tasks_of_test.asked == [
        ("inspect", {"url": url}), ("download", {"url": url, "manifest": OFFER["manifest"]}),
    ]  # fmt: skip
    ui.weightsUrlLineEdit.text = "https://example.org/other.json"
    assert not ui.downloadWeightsButton.enabled
    assert ui.offerTextEdit.plainText == ""


def test_import_hands_over_the_files_and_shows_its_error(open_panel: Open, host: Host, fake: Fake) -> None:
    tasks_of_test = Tasks(import_set=InputError("weights of qsmnet", "a folder", "a file"))
    ui = open_panel("ChiSepReconstruct", fake("succeed"), task_command=tasks_of_test).ui
    ui.importWeightsButton.click()
    assert "Give a name" in ui.weightsStatusLabel.text
    ui.weightsNameLineEdit.text = "mine"
    ui.constantsPathLineEdit.currentPath = "/data/constants.mat"
    ui.qsmnetPathLineEdit.currentPath = "/data/q.pth"
    ui.importWeightsButton.click()
    assert not ui.importWeightsButton.enabled
    host.wait_until(lambda: ui.importWeightsButton.enabled)
    assert ui.weightsStatusLabel.text == "weights of qsmnet: got a folder; expected a file."
    assert tasks_of_test.asked == [
        ("import_set", {"name": "mine", "files": {"qsmnet": "/data/q.pth"}, "constants": "/data/constants.mat",
                        "inputs": []}),
    ]  # fmt: skip


def test_a_task_can_be_stopped_and_does_not_outlive_the_panel(open_panel: Open, host: Host, fake: Fake) -> None:
    def hanging(arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", "import time; time.sleep(60)"]

    panel = open_panel("ChiSepReconstruct", fake("succeed"), task_command=hanging)
    panel.ui.inspectWeightsButton.click()
    panel.ui.cancelWeightsButton.click()
    host.wait_until(lambda: panel.ui.inspectWeightsButton.enabled, 2.0)
    assert panel.ui.weightsStatusLabel.text == "Cancelled."
    panel.ui.testDevicesButton.click()
    child = panel.device.task._child
    panel.cleanup()
    assert child._process.poll() is not None


def test_devices_are_told_in_words_and_offered(open_panel: Open, host: Host, fake: Fake) -> None:
    found = [{"name": "cuda:0", "words": "GPU, 24 GB, about 3 s", "seconds": 3.0, "problem": None, "free_gib": 20.5},
             {"name": "cpu", "words": "CPU, 2 threads", "seconds": None, "problem": "fails its self-test",
              "free_gib": 3.1}]  # fmt: skip
    panel = open_panel("ChiSepReconstruct", fake("succeed"), task_command=Tasks(devices=found))
    ui = panel.ui
    ui.testDevicesButton.click()
    host.wait_until(lambda: "24 GB" in ui.deviceLabel.text)
    assert "fails its self-test" in ui.deviceLabel.text
    assert "20.5 GiB" in ui.deviceLabel.text
    assert ui.testDevicesButton.enabled
    ui.deviceComboBox.currentIndex = [ui.deviceComboBox.itemText(n) for n in range(3)].index("GPU, 24 GB, about 3 s")
    assert panel.logic.getParameterNode().GetParameter("device") == "cuda:0"


def test_download_refuses_another_set_than_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from ChiSepReconstructLib.networks.weights import download

    shown = install()

    def fetch(url: str, confirm: Callable[[Any], bool], **more: Any) -> Any:
        assert confirm(download.Offer(url, shown, 1))
        return shown

    monkeypatch.setattr(download, "download", fetch)
    assert tasks.download("https://example.org/manifest.json", shown.to_json()) == "random"
    with pytest.raises(InputError, match="others than were shown"):
        tasks.download("https://example.org/manifest.json", {**shown.to_json(), "licence": "another"})


# Results


def test_results_are_shown_and_adjusted(open_panel: Open, host: Host, fake: Fake) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    nodes = add_maps(host.scene, a_mapset("chi_para", "chi_dia", "chi_total", method="tkd"), folder_name="χ maps")
    host.exit(panel)
    host.enter(panel)
    ui = panel.ui
    assert ui.shownMethodComboBox.currentText == "tkd"
    ui.showMapsButton.click()
    assert current_layout(host.scene) == FOUR_GRID
    assert ui.resultsErrorLabel.text == ""
    ui.windowComboBox.currentIndex = 2
    assert chosen_window(nodes["chi_para"]) == "White matter"
    ui.colorsComboBox.currentIndex = 1
    assert nodes["chi_para"].GetDisplayNode().GetColorNode().GetName() == "Grey"
    ui.legendCheckBox.click()
    assert has_legend(nodes["chi_para"])
    ui.resetDisplayButton.click()
    assert chosen_window(nodes["chi_para"]) == "Brain"
    assert not has_legend(nodes["chi_para"])
    assert not ui.legendCheckBox.checked
    ui.blendSlider.value = 0.25
    composites = host.scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    assert 0.25 in [one.GetForegroundOpacity() for one in composites]
    ui.restoreLayoutButton.click()
    assert current_layout(host.scene) is None


def test_two_results_are_compared(open_panel: Open, host: Host, fake: Fake) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    ui = panel.ui
    assert not ui.compareButton.enabled
    for method, value in (("tkd", 0.25), ("ndi", 0.0625)):
        add_maps(host.scene, a_mapset("chi_total", value=value, method=method), folder_name=method)
    host.exit(panel)
    host.enter(panel)
    ui.comparedArtifactComboBox.currentIndex = 2
    assert ui.firstResultComboBox.currentText.startswith("tkd")
    assert ui.secondResultComboBox.currentText.startswith("ndi")
    ui.compareButton.click()
    assert current_layout(host.scene) == COMPARISON
    import slicer.util

    difference = slicer.util.getNode("chi_total tkd minus ndi")
    assert np.all(slicer.util.arrayFromVolume(difference) == 0.1875)
    ui.secondResultComboBox.currentIndex = 0
    ui.compareButton.click()
    assert "twice" in ui.resultsErrorLabel.text
    ui.restoreLayoutButton.click()
    assert current_layout(host.scene) is None
    assert host.errors == []


def test_a_run_offers_its_result(open_panel: Open, host: Host, fake: Fake, folder: Path) -> None:
    panel = open_panel("ChiSepReconstruct", fake("tell_time"))
    ui = panel.ui
    assert ui.resultsCollapsibleButton.collapsed
    ui.mapsFolderPathLineEdit.currentPath = str(folder)
    ui.runButton.click()
    host.wait_until(lambda: ui.runButton.enabled)
    assert not ui.resultsCollapsibleButton.collapsed
    assert ui.shownMapComboBox.currentText == "χ para"
    assert ui.timeLabel.text == "CPU, 8 threads, about 40 s"


# Life of the scene


def test_the_scene_keeps_every_choice(open_panel: Open, host: Host, fake: Fake, folder: Path) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    ui = panel.ui
    ui.mapsFolderPathLineEdit.currentPath = str(folder)
    only(panel, "tkd", "ndi")
    ui.resolutionComboBox.currentIndex = 1
    ui.echoTimesLineEdit.text = "4, 8"
    host.exit(panel)
    other = open_panel("ChiSepReconstruct", fake("succeed")).ui
    assert other.mapsFolderPathLineEdit.currentPath == str(folder)
    assert other.resolutionComboBox.currentIndex == 1
    assert other.echoTimesLineEdit.text == "4, 8"
    assert other.optionsMethodComboBox.count == 2


def test_a_second_scene_starts_afresh(open_panel: Open, host: Host, fake: Fake, scene: Any, folder: Path) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    ui = panel.ui
    for _ in range(2):
        ui.mapsFolderPathLineEdit.currentPath = str(folder)
        only(panel, "tkd")
        add_maps(scene, a_mapset("chi_total", method="tkd"), folder_name="χ maps")
        host.exit(panel)
        host.enter(panel)
        assert ui.shownMethodComboBox.count == 1
        scene.Clear(0)
        assert ui.mapsFolderPathLineEdit.currentPath == ""
        assert item_of(panel, "auto").checkState().value == CHECKED
        assert ui.shownMethodComboBox.count == 0


def test_the_module_can_be_reloaded(open_panel: Open, host: Host, fake: Fake, folder: Path) -> None:
    ui = open_panel("ChiSepReconstruct", fake("succeed")).ui
    ui.mapsFolderPathLineEdit.currentPath = str(folder)
    again = host.reload("ChiSepReconstruct")
    assert again.ui.mapsFolderPathLineEdit.currentPath == str(folder)
    only(again, "tkd")
    assert again.ui.runButton.enabled


def test_the_keyboard_checks_a_method(open_panel: Open, host: Host, fake: Fake) -> None:
    panel = open_panel("ChiSepReconstruct", fake("succeed"))
    shown = panel.ui.methodsListWidget
    shown.setCurrentItem(item_of(panel, "closed-form"))
    host.press("Space", shown)
    assert panel.logic.getParameterNode().GetParameter("method") == "auto,closed-form"
