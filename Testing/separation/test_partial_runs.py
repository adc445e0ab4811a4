"""Runs that stop at a map, and runs that keep what a change of options does not touch (simulated data)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib import cli
from ChiSeparationLib.run_folder import read_record
from ChiSeparationLib.workflow import Inputs, run_preprocess
from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.bgremove.removal import BackgroundOptions
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_mapset
from ChiSepPreprocessLib.pipeline import preprocess
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions

V_SHARP = PreprocessOptions(background=BackgroundOptions(method="v-sharp"))


@pytest.fixture(scope="module")
def inputs(patient_folder: Path) -> Inputs:
    return Inputs(gre=(patient_folder / "dicom",), mask=patient_folder / "truth" / "brain_mask.nii.gz")


def test_a_run_stops_at_the_map_that_is_asked_for(patient_folder: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    run_preprocess(Inputs(gre=(patient_folder / "dicom",)), tmp_path, until="brain_mask",
                   progress=lambda status: seen.append(status.fraction))  # fmt: skip
    assert sorted(one.name for one in (tmp_path / "maps").glob("*.nii.gz")) == ["brain_mask.nii.gz", "magnitude.nii.gz"]
    assert seen == sorted(seen)
    assert not (tmp_path / "quality.png").exists()
    with pytest.raises(InputError, match="map to stop at"):
        run_preprocess(Inputs(gre=(tmp_path,)), tmp_path / "other", until="chi_para")


def test_other_options_leave_what_they_do_not_touch(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[frozenset[str]] = []

    def spy(*arguments: Any, given: MapSet, **others: Any) -> MapSet:
        handed.append(frozenset(given))
        return preprocess(*arguments, given=given, **others)

    monkeypatch.setattr("ChiSeparationLib.workflow.preprocess", spy)
    run_preprocess(inputs, tmp_path / "a")
    run_preprocess(inputs, tmp_path / "a", options=V_SHARP, overwrite=True)
    run_preprocess(inputs, tmp_path / "b", options=V_SHARP)
    again, fresh = read_mapset(tmp_path / "a" / "maps"), read_mapset(tmp_path / "b" / "maps")
    assert handed[0] == handed[2] == {"brain_mask"}
    assert handed[1] == set(fresh) - {"local_field", "field_mask"}
    assert set(again) == set(fresh)
    for name, one in fresh.items():
        # Threads add in any order, so that runs differ in the last digits.
        scale = float(np.abs(one.data.astype(np.float32)).max())
        np.testing.assert_allclose(again.array(name), one.data, rtol=1e-5, atol=1e-5 * scale, err_msg=name)
        assert again[name].method == one.method
    assert read_record(tmp_path / "a")["fingerprint"] == read_record(tmp_path / "b")["fingerprint"]
    assert read_record(tmp_path / "a")["options"]["preprocess"]["background"]["method"] == "v-sharp"


def test_arguments_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arguments ü.txt"
    file.write_text("--gre\n/data/a b\n--gre\n@home", encoding="utf-8")
    assert cli._expanded(["preprocess", f"@{file}", "-o", "@out"]) == [
        "preprocess", "--gre", "/data/a b", "--gre", "@home", "-o", "@out",
    ]  # fmt: skip
