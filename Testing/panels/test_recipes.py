"""The recipes for Slicer's console run as they stand, on slicer-core; a fake child computes tiny maps."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import slicer.util

from ChiSeparationLib.gui import sample_data
from ChiSeparationLib.gui.logic import ChiSeparationLogic
from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import read_json, read_nifti, write_json, write_map, write_nifti
from ChiSepPreprocessLib.gui import computation, installation, requirements, worker
from ChiSepPreprocessLib.gui.requirements import Missing
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
from ChiSepPreprocessLib.scene.colors import RATE
from ChiSepReconstructLib.methods import get
from host.fake_chisep import write_two_folders
from host.processes import is_running
from host.stand_ins import REPOSITORY

TEXT = (REPOSITORY / "Resources" / "RECIPES.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n[^#]*?```python\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE))
PLACES = ("STUDY", "STUDIES", "RESULTS", "EXPORTED", "PATIENT")

Run = Callable[[str], dict[str, Any]]


#: A child that makes a patient by copying one.
COPYING = """
import json, shutil, sys
shutil.copytree(sys.argv[1], sys.argv[3])
print(json.dumps({"event": "progress", "step": "patient", "fraction": 0.5}))
print(json.dumps({"event": "result", "output": sys.argv[3]}))
"""


def use_child(monkeypatch: pytest.MonkeyPatch, folder: Path, mode: str) -> None:
    """Let the child's Python be a script that drops ``-m MODULE`` and runs the fake command line."""
    python, fake = folder / "python", REPOSITORY / "Testing" / "host" / "fake_chisep.py"
    python.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{fake}" {mode} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(worker, "python_executable", lambda: str(python))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Folders of the reader's own, in one whose name has a space and letters beyond ASCII."""
    return {place: tmp_path / "Größe χ 1" / place.lower() for place in PLACES}


@pytest.fixture
def run(scene: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, places: dict[str, Path]) -> Run:
    """Execute a recipe as Slicer's console would."""
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    use_child(monkeypatch, tmp_path, "succeed")

    def execute(title: str) -> dict[str, Any]:
        code = RECIPES[title]
        for word, path in places.items():
            code = code.replace(f'"{word}"', repr(str(path)))
        scope: dict[str, Any] = {"slicer": slicer}
        exec(code, scope)
        return scope

    return execute


@pytest.fixture
def results(places: dict[str, Path]) -> Path:
    """Results of an earlier run."""
    write_two_folders(places["RESULTS"])
    write_json(places["RESULTS"] / "provenance.json", {"version": "1", "warnings": ["careful"], "source": {}})
    return places["RESULTS"]


def test_every_recipe_is_run_by_a_test_here() -> None:
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert list(RECIPES) == headings
    tested = re.findall(r'\brun\("(.+?)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(tested) == sorted(headings)


def test_installation(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(requirements, "missing", lambda: (Missing("numba", "numba>=0.60"),))
    monkeypatch.setattr(installation, "install", lambda lacking, progress: asked.extend(lacking))
    run("Install what Slicer lacks")
    assert asked == [Missing("numba", "numba>=0.60")]


def test_inventory(run: Run, places: dict[str, Path], patient_folder: Path) -> None:
    shutil.copytree(patient_folder / "dicom", places["STUDY"])
    inventory = run("See what a study holds")["inventory"]
    assert inventory.can_reconstruct
    assert {"magnitude", "phase"} <= {row.component for row in inventory.series}


def test_dicom_database(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"m": ["/data/1/a.dcm", "/data/1/b.dcm"], "p": ["/data/2/c.dcm"]}
    database = SimpleNamespace(
        patients=lambda: ["7"], studiesForPatient=lambda patient: [f"study of {patient}"],
        seriesForStudy=lambda study: list(files) if study == "study of 7" else [], filesForSeries=files.__getitem__,
    )  # fmt: skip
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert run("Find a study in Slicer's DICOM database")["folders"] == [Path("/data/1"), Path("/data/2")]


def test_whole_chain(run: Run, monkeypatch: pytest.MonkeyPatch, places: dict[str, Path]) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", lambda background: shown.append(background))
    nodes = run("Run the whole chain")["nodes"]
    assert shown == [nodes["chi_para"]]
    assert (places["RESULTS"] / "closed-form" / "chi_para.nii.gz").is_file()


def test_two_steps(run: Run, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    options: list[Any] = []

    def start(command: list[str]) -> worker.ChildProcess:
        asked.append(command)
        options.append(read_json(Path(command[command.index("--options") + 1])))
        return worker.ChildProcess(command)

    monkeypatch.setattr(computation, "ChildProcess", start)
    scope = run("Preprocess, then reconstruct with other methods")
    assert {"r2star", "chi_para"} <= set(scope["chi"])
    assert [command[3] for command in asked] == ["preprocess", "reconstruct"]
    assert asked[1][4] == asked[0][asked[0].index("-o") + 1] == str(places["RESULTS"])
    assert asked[1][asked[1].index("--method") + 1] == "chi-sep-medi,r2star-qsm"
    steps = options[0].pop("preprocess")
    assert from_mapping(PreprocessOptions, steps, "options").background.method == "pdf"
    (values,) = options[1].values()
    assert get("chi-sep-medi").options(values) != get("chi-sep-medi").options()


def test_earlier_results(run: Run, results: Path, scene: Any) -> None:
    nodes = run("Load earlier results")["nodes"]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes["r2star"]))
    assert hierarchy.GetItemName(folder) == "Patient 1"


def test_arrays(run: Run, results: Path) -> None:
    scope = run("Get arrays, with units")
    chi_para = scope["chi_para"]
    assert chi_para.spec.unit == "ppm"
    assert chi_para.data.shape == scope["same_voxels"].shape == (3, 4, 5)
    assert np.array_equal(chi_para.data, scope["same_voxels"])


def test_warnings_and_history(run: Run, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("Read warnings and history")
    printed = capsys.readouterr().out
    assert "chi_para given" in printed
    assert "careful" in printed


def test_colours_and_windows(run: Run, results: Path) -> None:
    display = run("Change colours and windows")["node"].GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 0.15)
    assert display.GetColorNode().GetName() == RATE


def test_export(run: Run, results: Path, places: dict[str, Path]) -> None:
    run("Export NIfTI")
    exported, grid = read_nifti(places["EXPORTED"] / "chi_para.nii.gz")
    original, expected = read_nifti(results / "closed-form" / "chi_para.nii.gz")
    assert np.array_equal(exported, original)
    assert grid.matches(expected)


def test_batch_goes_on_after_a_failure(
    run: Run, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, scene: Any
) -> None:
    for name in ("a", "b", "c"):
        (places["STUDIES"] / name).mkdir(parents=True)
    command = worker.cli_command

    def breaking(arguments: Sequence[str]) -> list[str]:
        return ["/bin/false"] if arguments[list(arguments).index("--gre") + 1].endswith("b") else command(arguments)

    original = computation.ComputationLogic.__init__
    monkeypatch.setattr(computation.ComputationLogic, "__init__", lambda self: original(self, breaking))
    scope = run("Run a folder of studies")
    assert scope["mean_ppm"] == {"a": 0.25, "c": 0.25}
    assert list(scope["failed"]) == ["b"]
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_progress(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("Follow the progress")
    assert capsys.readouterr().out.splitlines() == [" 25% unwrap echo 1 of 2", "100% separate "]


def test_cancel(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pumped: list[int] = []
    app = SimpleNamespace(processEvents=lambda: pumped.append(1))
    monkeypatch.setattr(slicer, "app", app, raising=False)
    use_child(monkeypatch, tmp_path, "hang")
    scope = run("Cancel from a script")
    assert scope["nodes"] == {}
    assert pumped
    assert not is_running(scope["job"].child.pid)


def test_simulated_patient(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, places: dict[str, Path]) -> None:
    source, grid = tmp_path / "source", Grid((3, 4, 5), np.eye(4))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    write_nifti(source / "images" / "flair.nii.gz", np.ones(grid.shape, np.float32), grid)
    write_map(Map(name="lesions", data=np.ones(grid.shape, np.int16), grid=grid), scan, source / "truth")
    child = [sys.executable, "-c", COPYING, str(source)]
    monkeypatch.setattr(sample_data, "sample_command", lambda arguments: [*child, *arguments])
    nodes = run("Make a simulated patient")["nodes"]
    assert list(nodes) == ["flair", "lesions"]
    gre = ChiSeparationLogic().getParameterNode().GetParameter("gre")
    assert gre == str(places["PATIENT"] / "dicom")
