"""The whole road from DICOM to χ maps on a small simulated patient (simulated data)."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from ChiSeparationLib.presentation import read_lesions
from ChiSeparationLib.run_folder import busy, fingerprint, read_record, read_run
from ChiSeparationLib.study import Study
from ChiSeparationLib.workflow import (
    Inputs,
    place_flair,
    run,
    run_preprocess,
    run_reconstruct,
    study_from_maps,
)
from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Image
from ChiSepPreprocessLib.errors import CancelledError, InputError, OutputError
from ChiSepPreprocessLib.files import write_nifti
from ChiSepPreprocessLib.masking.mask import MaskOptions
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.registration.rigid import RegistrationOptions
from ChiSepReconstructLib.evaluation.evaluate import evaluate


@pytest.fixture(scope="session")
def study(patient_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    output = tmp_path_factory.mktemp("run")
    return run(Inputs(gre=(patient_folder / "dicom",)), output, methods=("closed-form",))


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".part")]


def test_maps_are_near_their_truth(study: Study, patient: Phantom) -> None:
    """NRMSE in per cent on this patient; each bound stands a little above the measured value."""
    found = {name: one["nrmse_percent"] for name, one in evaluate(study.results["closed-form"], patient.truth).items()}
    bounds = {"local_field": 38.0, "r2star": 7.5, "r2": 6.9, "r2prime": 24.5, "chi_para": 33.5, "chi_dia": 26.5}
    assert {name: found[name] for name in bounds if found[name] > bounds[name]} == {}


def test_every_map_is_on_disk_with_its_record(study: Study) -> None:
    back = read_run(study.folder)
    expected = {"magnitude", "brain_mask", "field_mask", "total_field", "field_sigma", "phase_residual", "local_field",
                "r2star", "r2", "r2prime", "chi_total", "chi_para", "chi_dia"}  # fmt: skip
    assert set(back) == expected
    np.testing.assert_allclose(back.array("chi_para"), study.results["closed-form"].array("chi_para"), atol=1e-7)
    record = read_record(study.folder)
    assert record["state"] == "done"
    assert list(record["methods"]) == ["closed-form"]
    assert leftovers(study.folder) == []


def test_outputs_hold_no_patient_data_and_no_paths(study: Study, patient_folder: Path) -> None:
    text = "".join(path.read_text() for path in study.folder.rglob("*.json"))
    for allowed in ("SIMULATED DATA", '"SOFTWARE": "SIMULATED"'):
        text = text.upper().replace(allowed, "")
    assert "SIMULATED" not in text
    assert str(patient_folder.parent).upper() not in text


def test_cancelled_run_resumes_from_its_complete_maps(patient_folder: Path, tmp_path: Path) -> None:
    def stop(status: Status) -> bool:
        return status.step != "local field"

    inputs = Inputs(gre=(patient_folder / "dicom",))
    with pytest.raises(CancelledError):
        run_preprocess(inputs, tmp_path, progress=stop)
    kept = sorted(path.name for path in (tmp_path / "maps").glob("*.nii.gz"))
    names = ("brain_mask", "field_sigma", "magnitude", "phase_residual", "r2", "r2prime", "r2star", "total_field")
    assert kept == [f"{name}.nii.gz" for name in names]
    assert leftovers(tmp_path) == []
    before = {name: (tmp_path / "maps" / name).stat().st_mtime_ns for name in kept}
    run_preprocess(inputs, tmp_path)
    after = {name: (tmp_path / "maps" / name).stat().st_mtime_ns for name in kept}
    assert after == before
    assert (tmp_path / "maps" / "local_field.json").is_file()


def test_folder_of_another_run_is_kept(study: Study, patient_folder: Path) -> None:
    other = Inputs(gre=(patient_folder / "dicom", patient_folder / "truth" / "brain_mask.nii.gz"))
    with pytest.raises(InputError, match="holds a run with other inputs"):
        run_preprocess(Inputs(gre=other.gre[:1], mask=other.gre[1]), study.folder)
    assert read_record(study.folder)["state"] == "done"


def test_given_mask_is_used_and_recorded(patient: Phantom, patient_folder: Path, tmp_path: Path) -> None:
    mask = patient_folder / "truth" / "brain_mask.nii.gz"
    study = run_preprocess(Inputs(gre=(patient_folder / "dicom",), mask=mask), tmp_path)
    np.testing.assert_array_equal(study.maps.array("brain_mask"), patient.truth.array("brain_mask"))
    assert json.loads((tmp_path / "maps" / "brain_mask.json").read_text())["method"] == "given"


def test_given_mask_is_eroded_where_that_is_asked_for(patient: Phantom, patient_folder: Path, tmp_path: Path) -> None:
    truth = patient_folder / "truth"
    known = {name: truth / f"{name}.nii.gz" for name in ("local_field", "r2star", "r2prime")}
    inputs = Inputs(gre=(patient_folder / "dicom",), maps=known, mask=truth / "brain_mask.nii.gz")
    study = run_preprocess(inputs, tmp_path, options=PreprocessOptions(mask=MaskOptions(erosion_mm=5.0)))
    brain, eroded = patient.truth.array("brain_mask"), study.maps.array("brain_mask")
    distance_mm = distance_transform_edt(np.pad(brain, 1), sampling=patient.truth.grid.voxel_size_mm)[1:-1, 1:-1, 1:-1]
    assert distance_mm[eroded].min() > 5.0
    assert (distance_mm > 5.0 + max(patient.truth.grid.voxel_size_mm)).sum() <= eroded.sum() < brain.sum()
    note = json.loads((tmp_path / "maps" / "brain_mask.json").read_text())
    assert (note["method"], note["options"]) == ("given", {"erosion_mm": 5.0})


def test_mask_on_another_grid_is_refused_before_anything_is_written(patient_folder: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask.nii.gz"
    write_nifti(mask, np.ones((20, 20, 20), bool), Grid((20, 20, 20), np.eye(4)))
    with pytest.raises(InputError, match="brain_mask: got grid"):
        run_preprocess(Inputs(gre=(patient_folder / "dicom",), mask=mask), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unwritable_output_is_one_clear_error(patient_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        run_preprocess(Inputs(gre=(patient_folder / "dicom",)), tmp_path / "file" / "out")


def test_unknown_method_is_refused_before_the_work(patient_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one of tkd, "):
        run(Inputs(gre=(patient_folder / "dicom",)), tmp_path / "out", methods=("magic",))
    assert not (tmp_path / "out").exists()


def test_fingerprint_tells_roles_and_options_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one.nii", tmp_path / "other.nii"
    one.write_text("1")
    other.write_text("22")
    marks = [
        fingerprint({"gre": [one], "gre_phase": [other]}, {}),
        fingerprint({"gre": [other], "gre_phase": [one]}, {}),
        fingerprint({"gre": [one, other]}, {}),
        fingerprint({"gre": [one], "gre_phase": [other]}, {"radius": 1}),
    ]
    assert len(set(marks)) == 4


def test_output_inside_the_input_is_refused(patient_folder: Path) -> None:
    inside = patient_folder / "dicom" / "results"
    with pytest.raises(InputError, match="inside the input"):
        run_preprocess(Inputs(gre=(patient_folder / "dicom",)), inside)
    assert not inside.exists()


def test_another_patients_maps_do_not_join_a_run(study: Study, patient_folder: Path) -> None:
    before = read_record(study.folder)
    with pytest.raises(InputError, match="holds a run with other inputs"):
        run_reconstruct(study_from_maps(patient_folder / "truth", study.folder), ("tkd",))
    assert read_record(study.folder) == before


def test_methods_of_one_run_add_up(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.folder, tmp_path / "copy")
    run_reconstruct(study_from_maps(tmp_path / "copy" / "maps", tmp_path / "copy"), ("tkd",))
    assert sorted(read_record(tmp_path / "copy")["methods"]) == ["closed-form", "tkd"]
    assert set(read_run(tmp_path / "copy", "closed-form")) == set(read_run(study.folder))


def test_overwrite_leaves_nothing_of_the_other_run_and_nothing_foreign_is_touched(
    study: Study, patient_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(study.folder, tmp_path / "copy")
    foreign = tmp_path / "copy" / "notes" / ".part-of-my-notes"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    (tmp_path / "copy" / "report.html").write_text("old")
    (tmp_path / "copy" / "maps" / ".part-killed.mrb").mkdir()
    run_reconstruct(study_from_maps(patient_folder / "truth", tmp_path / "copy"), ("tkd",), overwrite=True)
    left = sorted(path.name for path in (tmp_path / "copy").iterdir())
    assert left == ["notes", "provenance.json", "tkd"]
    assert foreign.read_text() == "mine"
    assert list(read_record(tmp_path / "copy")["methods"]) == ["tkd"]


def test_method_options_reach_the_method(study: Study, tmp_path: Path) -> None:
    one = study_from_maps(study.folder / "maps", tmp_path)
    made = run_reconstruct(one, ("closed-form",), options={"closed-form": {"relaxivity": "kim2025"}})
    used = made.results["closed-form"]["chi_para"].options["relaxivity"]
    assert (used["preset"], used["para_hz_per_ppm"]) == ("kim2025", pytest.approx(118.2, abs=0.1))
    total = made.results["closed-form"].array("chi_para") + made.results["closed-form"].array("chi_dia")
    both = made.maps.array("field_mask") & (made.results["closed-form"].array("chi_dia") > 0) & (total > 0)
    both &= made.results["closed-form"].array("chi_para") > 0
    np.testing.assert_allclose(118.2 * total[both], made.maps.array("r2prime")[both], rtol=2e-3, atol=1e-3)


def test_reconstruct_starts_from_maps_on_disk(study: Study, tmp_path: Path) -> None:
    again = run_reconstruct(study_from_maps(study.folder / "maps", tmp_path), ("tkd", "closed-form"))
    np.testing.assert_allclose(
        again.results["closed-form"].array("chi_dia"), study.results["closed-form"].array("chi_dia"), atol=4e-5
    )  # the affine on disk is in single precision, so that a few voxels more or less are CSF, the reference
    assert sorted(read_record(tmp_path)["methods"]) == ["closed-form", "tkd"]
    assert set(read_run(tmp_path, "tkd")) == {"chi_total"}


def test_two_brain_masks_are_refused(tmp_path: Path) -> None:
    given = Inputs(gre=(), mask=tmp_path / "a.nii.gz", maps={"brain_mask": tmp_path / "b.nii.gz"})
    with pytest.raises(InputError, match=r"two \(--mask and --map brain_mask"):
        given.given_maps()


def test_refusal_after_loading_comes_before_anything_is_written(patient_folder: Path, tmp_path: Path) -> None:
    def refuse(acquisition: Acquisition) -> None:
        raise InputError("lesions", acquisition.grid.shape, "others")

    with pytest.raises(InputError, match="lesions"):
        run(Inputs(gre=(patient_folder / "dicom",)), tmp_path / "out", on_loaded=refuse)
    assert not (tmp_path / "out").exists()


def test_folder_is_held_by_one_run(tmp_path: Path) -> None:
    with busy(tmp_path / "new" / "out"):
        with pytest.raises(InputError, match="another run is at work"), busy(tmp_path / "new" / "out"):
            pass
        assert (tmp_path / "new" / "out").is_dir()
    assert list(tmp_path.iterdir()) == []
    with busy(tmp_path / "out"):
        (tmp_path / "out" / "map").write_text("kept")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["map"]


def test_folder_with_a_name_too_long_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="name is too long"), busy(tmp_path / ("x" * 300)):
        pass


def _state(folder: Path) -> dict[str, int]:
    """Every file of a folder with the time of its last change."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("until", [0.3, 1.0])
def test_overwriting_that_is_cancelled_leaves_the_old_run(
    study: Study, patient: Phantom, patient_folder: Path, tmp_path: Path, until: float
) -> None:
    out = tmp_path / "out"
    shutil.copytree(study.folder, out)
    before, given = _state(out), {}
    for name in ("total_field", "local_field", "r2star", "r2prime"):
        given[name] = patient_folder / "truth" / f"{name}.nii.gz"
    inputs = Inputs(gre=(patient_folder / "dicom",), maps=given, mask=patient_folder / "truth" / "brain_mask.nii.gz")

    def stop(now: Study) -> None:
        assert (now.folder / "closed-form" / "chi_para.nii.gz").is_file()
        assert {name: before[name] for name in before} == {name: _state(out)[name] for name in before}
        raise CancelledError("stop")

    with pytest.raises(CancelledError):
        run(inputs, out, overwrite=True, methods=("closed-form",), on_maps=stop,
            progress=lambda status: status.fraction <= until)  # fmt: skip
    assert _state(out) == before
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    if until == 1.0:
        again = run(inputs, out, overwrite=True, methods=("closed-form",))
        assert again.folder == out
        np.testing.assert_allclose(read_run(out).array("r2star"), patient.truth.array("r2star"), rtol=1e-6)


@pytest.mark.parametrize("text", ["{", "[1]", '{"methods": ["tkd"]}'])
def test_broken_record_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(InputError, match=r"provenance\.json"):
        read_record(tmp_path)


def test_no_lesions_are_a_result_and_those_far_away_are_refused(patient: Phantom, tmp_path: Path) -> None:
    grid, labels = patient.truth.grid, np.zeros(patient.truth.grid.shape, np.int16)
    write_nifti(tmp_path / "les.nii.gz", labels, grid)
    assert not read_lesions(tmp_path / "les.nii.gz", grid).lesions.data.any()
    labels[20:23, 20:23, 20:23] = 1
    far = grid.affine.copy()
    far[:3, 3] += 500.0
    write_nifti(tmp_path / "les.nii.gz", labels, Grid(grid.shape, far))
    with pytest.raises(InputError, match="outside the maps"):
        read_lesions(tmp_path / "les.nii.gz", grid)


def test_a_lesion_mask_of_any_value_is_parted_into_lesions(patient: Phantom, tmp_path: Path) -> None:
    grid, labels = patient.truth.grid, np.zeros(patient.truth.grid.shape, np.int16)
    labels[20:23, 20:23, 20:23] = labels[40:44, 20:23, 20:23] = 255
    write_nifti(tmp_path / "les.nii.gz", labels, grid)
    assert np.unique(read_lesions(tmp_path / "les.nii.gz", grid).lesions.data).tolist() == [0, 1, 2]


def test_flair_and_what_was_drawn_on_it_are_moved_into_place(study: Study, tmp_path: Path) -> None:
    """The header misplaces the FLAIR by 5 mm, as a patient who moved does."""
    acquisition = study.acquisition
    assert acquisition is not None
    flair = acquisition.flair
    assert flair is not None
    shifted = flair.grid.affine.copy()
    shifted[:3, 3] += (4.0, -2.0, 2.2)
    moved = Grid(flair.grid.shape, shifted)
    placed, notes = place_flair(
        replace(acquisition, flair=Image(flair.data, moved)), study.maps, RegistrationOptions(), Reporter()
    )
    assert placed is not None
    assert notes == ()
    corner = np.array([*flair.grid.shape, 1.0]) / 2
    off = placed.grid_in_place.affine @ corner - flair.grid.affine @ corner
    assert np.linalg.norm(off[:3]) < 0.5  # a quarter of a voxel
    lesion = np.zeros(flair.grid.shape, np.float32)
    middle = tuple(n // 2 for n in lesion.shape)
    lesion[tuple(slice(n - 4, n + 4) for n in middle)] = 1
    write_nifti(tmp_path / "lesion.nii.gz", lesion, moved)
    found = read_lesions(tmp_path / "lesion.nii.gz", acquisition.grid, placed).lesions.data > 0
    centre = (acquisition.grid.affine @ [*np.argwhere(found).mean(axis=0), 1.0])[:3]
    expected = (flair.grid.affine @ [*(n - 0.5 for n in middle), 1.0])[:3]
    assert np.linalg.norm(centre - expected) < 0.9


def test_flair_of_another_place_stays_with_a_warning(study: Study) -> None:
    acquisition = study.acquisition
    assert acquisition is not None
    assert acquisition.flair is not None
    away = acquisition.flair.grid.affine.copy()
    away[:3, 3] += 400.0
    far = replace(acquisition, flair=Image(acquisition.flair.data, Grid(acquisition.flair.grid.shape, away)))
    placed, (note,) = place_flair(far, study.maps, RegistrationOptions(), Reporter())
    assert placed is None
    assert "FLAIR is shown where the scanner says" in note
