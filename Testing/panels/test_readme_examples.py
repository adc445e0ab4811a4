"""The README's Python examples run as they stand, on slicer-core and a simulated patient."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
from ChiSepPreprocessLib.scene.nodes import map_from_node
from ChiSepReconstructLib.methods import get
from host.stand_ins import REPOSITORY, Record

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def examples(heading: str) -> list[str]:
    """Python blocks below a heading."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert found
    return found


def run_example(code: str, study: Path, results: Path, **names: Any) -> dict[str, Any]:
    """Execute an example with the reader's own paths in place of STUDY and RESULTS."""
    scope = dict(names)
    exec(code.replace('"STUDY"', repr(str(study))).replace('"RESULTS"', repr(str(results))), scope)
    return scope


def test_python_example(patient_folder: Path, tmp_path: Path) -> None:
    (code,) = examples("In Python")
    scope = run_example(code, patient_folder / "dicom", tmp_path)
    assert 0.01 < float(scope["chi_para_ppm"].max()) < 1.0


def test_preprocessing_example(patient_folder: Path) -> None:
    """The maps come back from the turned grid to where they were measured."""
    (code,) = examples("Preprocessing")
    scope = run_example(code, patient_folder / "dicom", Path())
    assert scope["maps"]["local_field"].method == "pdf"
    assert scope["turned"].maps.scan.b0_direction_ijk == (0.0, 0.0, 1.0)
    assert scope["original"].grid.matches(scope["maps"].grid)


def test_option_files_are_understood() -> None:
    """Every name is an option's; no file of the README repeats the defaults."""
    files = [json.loads(text) for text in re.findall(r"`(\{.*?\})`", README)]
    assert len(files) >= 8
    for content in files:
        steps = from_mapping(PreprocessOptions, content.pop("preprocess", {}), "options of preprocess")
        chosen = {name: get(name).options(values) for name, values in content.items()}
        assert steps != PreprocessOptions() or any(one != get(name).options() for name, one in chosen.items())


def test_slicer_console_example(
    record: Record, monkeypatch: pytest.MonkeyPatch, scene: Any, patient: Phantom, patient_folder: Path, tmp_path: Path
) -> None:
    """The child is the real command line; its maps come back as nodes with colours, windows and geometry."""
    import slicer

    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    (code,) = examples("In 3D Slicer")
    nodes = run_example(code, patient_folder / "dicom", tmp_path)["nodes"]
    assert {"chi_para", "chi_dia", "chi_total", "r2star", "r2prime", "local_field", "magnitude"} <= set(nodes)
    chi_para = nodes["chi_para"]
    assert chi_para.GetScene() is scene
    assert chi_para.GetDisplayNode().GetColorNode().GetName() == "ChiSep Para"
    assert chi_para.GetVoxelValueUnits().GetCodeMeaning() == "ppm"
    back = map_from_node(chi_para)
    assert back.grid.matches(patient.acquisition.grid, tolerance_mm=1e-3)
    inside = patient.truth.array("brain_mask")
    assert float(np.mean(back.data[inside])) == pytest.approx(
        float(np.mean(patient.truth.array("chi_para")[inside])), rel=0.35
    )
