"""The simulated patient of the module Sample Data: offered at once, made only when it is chosen."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import slicer.util

from ChiSeparationLib import demo
from ChiSeparationLib.gui import sample_data
from ChiSeparationLib.gui.logic import ChiSeparationLogic
from ChiSeparationLib.gui.sample_data import SimulatedPatientLogic, main, make, make_and_load, register, sample_command
from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.errors import InputError, MissingDependencyError
from ChiSepPreprocessLib.files import write_map, write_nifti
from ChiSepPreprocessLib.gui import installation
from ChiSepPreprocessLib.gui.requirements import Missing
from host.stand_ins import Record

#: A child that makes a patient by copying one, or says why not.
CHILD = """
import json, shutil, sys, time
say = lambda event, **content: print(json.dumps({"event": event, **content}), flush=True)
mode, source, _, target = sys.argv[1:]
if mode == "fail":
    say("error", message="no space left", exit_code=2)
    sys.exit(2)
say("progress", step="patient", fraction=0.5, detail="the field")
if mode == "hang":
    time.sleep(60)
shutil.copytree(source, target)
say("result", output=target)
"""


class Dialog:
    """``QProgressDialog`` as Slicer's Python sees it."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.labelText, self.wasCanceled, self.closed = "", False, False

    @property
    def value(self) -> int:
        return self.values[-1] if self.values else 0

    @value.setter
    def value(self, value: int) -> None:
        self.values.append(value)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A patient as the child leaves it."""
    folder, grid = tmp_path / "source", Grid((3, 4, 5), np.eye(4))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    write_nifti(folder / "images" / "flair.nii.gz", np.ones(grid.shape, np.float32), grid)
    write_map(Map(name="lesions", data=np.ones(grid.shape, np.int16), grid=grid), scan, folder / "truth")
    return folder


class Slicer:
    """The application with an empty temporary folder and one progress dialog."""

    def __init__(self, record: Record, dialog: Dialog, source: Path, target: Path) -> None:
        self.record, self.dialog, self.source, self.target = record, dialog, source, target
        self.started = 0

    def make(self, mode: str) -> list[Any]:
        """Choose the patient in Sample Data."""

        def command(arguments: Sequence[str]) -> list[str]:
            self.started += 1
            return [sys.executable, "-c", CHILD, mode, str(self.source), *arguments]

        return make_and_load(object(), SimulatedPatientLogic(command))


@pytest.fixture
def application(record: Record, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Slicer]:
    dialog, temporary = Dialog(), tmp_path / "Größe 1"
    app = SimpleNamespace(temporaryPath=str(temporary), processEvents=lambda: None)
    monkeypatch.setattr(slicer, "app", app, raising=False)
    monkeypatch.setattr(slicer.util, "createProgressDialog", lambda **given: dialog)
    monkeypatch.setattr(installation, "missing", lambda *parts: ())
    yield Slicer(record, dialog, source, temporary / sample_data._FOLDER)
    assert dialog.closed


def test_registration_names_the_patient_and_makes_nothing(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[dict[str, Any]] = []
    module = ModuleType("SampleData")
    logic = SimpleNamespace(registerCustomSampleDataSource=lambda **given: offered.append(given))
    module.__dict__["SampleDataLogic"] = logic
    monkeypatch.setitem(sys.modules, "SampleData", module)
    register("thumbnail.png")
    ((given),) = offered
    assert given["category"] == "ChiSeparation"
    assert given["sampleName"] == "Simulated patient with lesions (made on this computer)"
    assert given["customDownloader"] is make_and_load
    assert given["thumbnailFileName"] == "thumbnail.png"
    # Slicer's own class wants one text for each.
    assert all(isinstance(given[name], str) for name in ("uris", "fileNames", "nodeNames"))


def test_chosen_patient_is_made_and_loaded_once(application: Slicer) -> None:
    nodes = application.make("succeed")
    assert [node.GetName() for node in nodes] == ["flair", "lesions"]
    assert application.dialog.values == [50]
    assert application.dialog.labelText == "the field"
    assert ChiSeparationLogic().getParameterNode().GetParameter("gre") == str(application.target / "dicom")
    assert len(application.make("fail")) == 2
    assert application.started == 1
    assert application.record.errors == []


def test_lesions_are_the_truth_as_segments(application: Slicer) -> None:
    *_, lesions = application.make("succeed")
    assert lesions.GetSegmentation().GetNthSegment(0).GetName() == "Lesion 1"


def test_cancelled_patient_is_no_error_and_is_made_again(application: Slicer) -> None:
    application.dialog.wasCanceled = True
    assert application.make("hang") == []
    application.target.mkdir(parents=True, exist_ok=True)
    (application.target / "half").touch()
    application.dialog.wasCanceled = False
    assert len(application.make("succeed")) == 2
    assert not (application.target / "half").exists()
    assert application.record.errors == []


def test_failure_is_shown(application: Slicer) -> None:
    assert application.make("fail") == []
    assert [message for message, _ in application.record.errors] == ["no space left"]


def test_missing_package_is_asked_for(application: Slicer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def decline(text: str) -> bool:
        asked.append(text)
        return False

    def lacking(*parts: str) -> tuple[Missing, ...]:
        return (Missing("nilearn", "nilearn>=0.12"),) if parts == ("sample-data",) else ()

    monkeypatch.setattr(installation, "missing", lacking)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", decline, raising=False)
    assert application.make("succeed") == []
    assert asked == ["These Python packages are missing: nilearn>=0.12. Install them into Slicer now?"]
    ((message, _),) = application.record.errors
    assert message.startswith("Not installed: nilearn>=0.12.")
    assert application.started == 0


# The child


def test_child_runs_this_file() -> None:
    assert sample_command(["-o", "x"]) == [sys.executable, "-m", "ChiSeparationLib.gui.sample_data", "-o", "x"]


def test_child_writes_what_slicer_loads(
    monkeypatch: pytest.MonkeyPatch, patient_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_patient(output: Path, *, dicom: bool, progress: Any, **options: Any) -> None:
        assert dicom
        shutil.copytree(patient_folder, output, dirs_exist_ok=True)

    monkeypatch.setattr(demo, "write_patient", write_patient)
    assert main(["-o", str(tmp_path / "patient")]) == 0
    *_, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert last == {"event": "result", "output": str(tmp_path / "patient")}
    names = {path.name.removesuffix(".nii.gz") for path in (tmp_path / "patient" / "images").iterdir()}
    assert names == {"gre_magnitude", "gre_phase", "se_magnitude", "flair"}
    assert sorted(path.name for path in (tmp_path / "patient").iterdir()) == ["dicom", "images", "truth"]


def test_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="a new or empty one"):
        make(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def test_child_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise MissingDependencyError("The simulated patient needs nilearn.")

    monkeypatch.setattr(demo, "write_patient", fail)
    assert main(["-o", str(tmp_path / "patient")]) == 2
    expected = {"event": "error", "message": "The simulated patient needs nilearn.", "exit_code": 2}
    assert json.loads(capsys.readouterr().out) == expected
