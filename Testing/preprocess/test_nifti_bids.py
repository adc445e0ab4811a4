"""NIfTI files with BIDS sidecars, or with what the user states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti
from ChiSepPreprocessLib.loading import LoadOptions, inspect, load_acquisition, load_image, load_spin_echo
from dicom_writer_for_tests import rotation

SHAPE = (9, 8, 11)
AFFINE = np.eye(4)
AFFINE[:3, :3] = rotation(15.0, 10.0, -4.0) * [0.9, 1.2, 2.0]
AFFINE[:3, 3] = (-20.0, 31.0, 4.5)
OPTIONS = LoadOptions(echo_times_s=(0.005, 0.01), field_strength_t=3.0)


def _save(path: Path, data: NDArray[Any], sidecar: dict[str, Any] | None = None, scale: float | None = None) -> Path:
    image = nibabel.Nifti1Image(data, AFFINE)
    if scale is not None:
        image.header.set_slope_inter(scale, 0.0)
    nibabel.save(image, path)
    if sidecar is not None:
        path.with_suffix("").with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def _truth() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(5)
    magnitude = random.uniform(1.0, 100.0, (*SHAPE, 2)).astype(np.float32)
    phase = random.uniform(-np.pi, np.pi, (*SHAPE, 2)).astype(np.float32)
    return magnitude, phase


def _bids(part: str, echo_time_s: float, **more: Any) -> dict[str, Any]:
    letter = {"MAGNITUDE": "M", "PHASE": "P"}[part]
    return {
        "EchoTime": echo_time_s,
        "MagneticFieldStrength": 3,
        "ImagingFrequency": 123.2,
        "ScanningSequence": "GR",
        "ImageType": ["ORIGINAL", "PRIMARY", letter, "ND", part],
        **more,
    }


def test_bids_folder_is_sorted_by_its_sidecars(tmp_path: Path) -> None:
    """File names say nothing and lie about the order."""
    magnitude, phase = _truth()
    for echo, name in ((1, "a"), (0, "b")):
        time = (0.005, 0.01)[echo]
        _save(tmp_path / f"{name}1.nii.gz", phase[..., echo], _bids("PHASE", time, Units="rad"))
        _save(tmp_path / f"{name}2.nii.gz", magnitude[..., echo], _bids("MAGNITUDE", time))
    loaded = load_acquisition([tmp_path])
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    np.testing.assert_array_equal(loaded.gre_phase, phase)
    assert loaded.scan.echo_times_s == (0.005, 0.01)
    assert loaded.scan.imaging_frequency_hz == pytest.approx(123.2e6)
    np.testing.assert_allclose(loaded.scan.b0_direction_ijk, rotation(15.0, 10.0, -4.0)[2], atol=1e-6)
    np.testing.assert_allclose(loaded.grid.affine, AFFINE, atol=1e-5)
    assert loaded.source["phase_scaling"] == "rad (header)"
    assert inspect([tmp_path]).can_reconstruct


@pytest.mark.parametrize(
    ("factor", "facts"),
    [
        (4096 / np.pi, {"Manufacturer": "Siemens"}),
        (1000.0, {"Manufacturer": "GE"}),
        (1000.0, {"Manufacturer": "Philips", "UsePhilipsFloatNotDisplayScaling": 0}),
        (1.0, {"Manufacturer": "Philips", "UsePhilipsFloatNotDisplayScaling": 1}),
    ],
)
def test_converted_phase_is_scaled_by_its_vendor(tmp_path: Path, factor: float, facts: dict[str, Any]) -> None:
    magnitude, phase = _truth()
    for echo, time in enumerate((0.005, 0.01)):
        _save(tmp_path / f"p{echo}.nii.gz", phase[..., echo] * np.float32(factor), _bids("PHASE", time, **facts))
        _save(tmp_path / f"m{echo}.nii.gz", magnitude[..., echo], _bids("MAGNITUDE", time, **facts))
    loaded = load_acquisition([tmp_path])
    sign = -1.0 if facts["Manufacturer"] == "GE" else 1.0  # GE stores the conjugate
    np.testing.assert_allclose(loaded.gre_phase, sign * phase, atol=2e-6)


def test_four_axes_with_stated_values(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude), _save(tmp_path / "p.nii", phase)
    loaded = load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)
    np.testing.assert_array_equal(loaded.gre_phase, phase)
    assert loaded.source["phase_scaling"] == "rad (range of the values)"


def test_five_axes(tmp_path: Path) -> None:
    """Time as an empty fourth axis, echoes on the fifth."""
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii", magnitude[..., None, :]), _save(tmp_path / "p.nii", phase[..., None, :])
    loaded = load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)
    np.testing.assert_array_equal(loaded.gre_phase, phase)


def test_one_file_for_each_echo_in_the_given_order(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre = [_save(tmp_path / f"{'zy'[echo]}.nii", magnitude[..., echo]) for echo in (0, 1)]
    gre_phase = [_save(tmp_path / f"{'ba'[echo]}.nii", phase[..., echo]) for echo in (0, 1)]
    loaded = load_acquisition(gre, gre_phase=gre_phase, options=OPTIONS)
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    np.testing.assert_array_equal(loaded.gre_phase, phase)
    assert any("in the order" in warning for warning in loaded.warnings)


def test_spin_echo_and_flair_of_nifti(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude), _save(tmp_path / "p.nii", phase)
    se, flair = _save(tmp_path / "se.nii", magnitude), _save(tmp_path / "flair.nii", magnitude[..., 0])
    options = LoadOptions(echo_times_s=(0.005, 0.01), se_echo_times_s=(0.01, 0.1), field_strength_t=3.0)
    loaded = load_acquisition([gre], gre_phase=[gre_phase], se=[se], flair=[flair], options=options)
    assert loaded.spin_echo is not None and loaded.flair is not None
    assert loaded.spin_echo.echo_times_s == (0.01, 0.1)
    np.testing.assert_array_equal(loaded.flair.data, magnitude[..., 0])
    with pytest.raises(InputError, match="--se-echo-times"):
        load_spin_echo([se])


def test_label_map_keeps_its_numbers(tmp_path: Path) -> None:
    labels = np.random.default_rng(6).integers(0, 300, SHAPE).astype(np.int16)
    np.testing.assert_array_equal(load_image([_save(tmp_path / "l.nii.gz", labels)]).data, labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["gre_magnitude", "gre_phase"])
def test_voxels_that_are_not_finite(tmp_path: Path, bad: float, part: str) -> None:
    magnitude, phase = _truth()
    (phase if part == "gre_phase" else magnitude)[2, 3, 4, 1] = bad
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude), _save(tmp_path / "p.nii", phase)
    with pytest.raises(InputError, match=f"{part}: got 1 voxels that are NaN or infinite"):
        load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)


def test_without_orientation_b0_is_unknown(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    files = []
    for name, data in (("m", magnitude), ("p", phase)):
        image = nibabel.Nifti1Image(data, None)
        image.header["sform_code"] = image.header["qform_code"] = 0
        files.append(tmp_path / f"{name}.nii")
        nibabel.save(image, files[-1])
    with pytest.raises(InputError, match="direction of B0"):
        load_acquisition(files[:1], gre_phase=files[1:], options=OPTIONS)


def test_missing_values_say_how_to_state_them(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude), _save(tmp_path / "p.nii", phase)
    with pytest.raises(InputError, match="--echo-times"):
        load_acquisition([gre], gre_phase=[gre_phase])
    with pytest.raises(InputError, match="--field-strength"):
        load_acquisition([gre], gre_phase=[gre_phase], options=LoadOptions(echo_times_s=(0.005, 0.01)))
    with pytest.raises(InputError, match=r"magnitude without phase.*--gre-phase"):
        load_acquisition([gre], options=OPTIONS)
    (obstacle,) = inspect([gre, gre_phase]).obstacles
    assert "do not say what they are" in obstacle
    small = _save(tmp_path / "s.nii", phase[..., :1])
    with pytest.raises(InputError, match="2 echoes of magnitude and 1 of phase"):
        load_acquisition([gre], gre_phase=[small], options=OPTIONS)


def test_broken_files(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude), _save(tmp_path / "p.nii", phase)
    gre_phase.write_bytes(gre_phase.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"which cannot be read"):
        load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)
    packed = _save(tmp_path / "q.nii.gz", phase)
    packed.write_bytes(packed.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"which cannot be read"):
        load_acquisition([gre], gre_phase=[packed], options=OPTIONS)
    gre_phase.write_bytes(b"not a NIfTI file")
    with pytest.raises(InputError, match=r"p\.nii, which cannot be read"):
        load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(InputError, match=r"m\.json, which is no JSON"):
        load_acquisition([gre])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"EchoTime": "fast"}, "EchoTime 'fast' in m.json; expected a number in seconds"),
        ({"EchoTime": {"a": 1}}, "EchoTime"),
        ({"EchoTime": [0.1, None]}, "EchoTime"),
        ({"EchoTime": [0.1, 0.2, 0.3]}, r"3 echo times for the 2 volumes of m\.nii\.gz"),
        ({"MagneticFieldStrength": "3T"}, "MagneticFieldStrength '3T'"),
        ({"ImageType": 5}, "ImageType 5"),
        ([1, 2], r"m\.json with a list"),
    ],
)
def test_sidecar_edited_by_hand(tmp_path: Path, content: Any, match: str) -> None:
    gre = _save(tmp_path / "m.nii.gz", _truth()[0], content)
    with pytest.raises(InputError, match=match):
        load_acquisition([gre])


def test_own_sidecars_are_understood(tmp_path: Path) -> None:
    """What the simulated patient is written with: artifact names and units of this project."""
    magnitude, phase = _truth()
    scan = {"echo_times_s": [0.005, 0.01], "field_strength_t": 3.0, "imaging_frequency_hz": 127.7e6}
    _save(tmp_path / "a.nii.gz", magnitude, {"artifact": "gre_magnitude", "unit": "a.u.", **scan})
    _save(tmp_path / "b.nii.gz", phase, {"artifact": "gre_phase", "unit": "rad", **scan})
    _save(tmp_path / "c.nii.gz", magnitude, {"artifact": "se_magnitude", "unit": "a.u.", "echo_times_s": [0.02, 0.08]})
    _save(tmp_path / "d.nii.gz", magnitude[..., 0], {"artifact": "flair", "unit": "a.u."})
    loaded = load_acquisition([tmp_path])
    np.testing.assert_array_equal(loaded.gre_phase, phase)
    assert loaded.scan.imaging_frequency_hz == pytest.approx(127.7e6)
    assert loaded.spin_echo is not None and loaded.spin_echo.echo_times_s == (0.02, 0.08)
    assert loaded.flair is not None


def test_complex_image_is_refused_and_no_part_is_dropped(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre = _save(tmp_path / "m.nii.gz", (magnitude * np.exp(1j * phase)).astype(np.complex64))
    with pytest.raises(InputError, match=r"m\.nii\.gz with complex numbers"):
        load_acquisition([gre], gre_phase=[gre], options=OPTIONS)


def test_negative_magnitude(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude - 50.0), _save(tmp_path / "p.nii", phase)
    with pytest.raises(InputError, match=r"gre_magnitude of echo 1 .*: got values from -"):
        load_acquisition([gre], gre_phase=[gre_phase], options=OPTIONS)


def test_spin_echo_times_without_spin_echo_are_said(tmp_path: Path) -> None:
    magnitude, phase = _truth()
    gre, gre_phase = _save(tmp_path / "m.nii.gz", magnitude), _save(tmp_path / "p.nii", phase)
    options = LoadOptions(echo_times_s=(0.005, 0.01), se_echo_times_s=(0.01, 0.1), field_strength_t=3.0)
    loaded = load_acquisition([gre], gre_phase=[gre_phase], options=options)
    assert any("no spin echo was used" in warning for warning in loaded.warnings)


@pytest.mark.parametrize(
    ("sform_code", "qform_code", "from_qform", "warned"),
    [(1, 1, False, False), (1, 0, False, False), (4, 1, True, False), (2, 0, False, True), (0, 2, True, True)],
)
def test_b0_comes_from_the_scanners_own_orientation(
    tmp_path: Path, sform_code: int, qform_code: int, from_qform: bool, warned: bool
) -> None:
    """An sform to a template or another scan does not tell where the scanner's z was."""
    tilted = np.diag([1.0, 1.0, 1.0, 1.0])
    tilted[1:3, 1:3] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    rng = np.random.default_rng(0)
    for name in ("mag", "phase"):
        image = nibabel.Nifti1Image(rng.uniform(-np.pi, np.pi, (9, 9, 9, 3)).astype(np.float32), None)
        if name == "mag":
            image = nibabel.Nifti1Image(rng.uniform(1, 2, (9, 9, 9, 3)).astype(np.float32), None)
        image.set_sform(np.eye(4), sform_code)
        image.set_qform(tilted, qform_code)
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    options = LoadOptions(echo_times_s=(0.004, 0.008, 0.012), field_strength_t=3.0)
    read = load_acquisition([tmp_path / "mag.nii.gz"], gre_phase=[tmp_path / "phase.nii.gz"], options=options)
    expected = (0.0, np.sin(0.4), np.cos(0.4)) if from_qform else (0.0, 0.0, 1.0)
    np.testing.assert_allclose(read.scan.b0_direction_ijk, expected, atol=1e-6)
    assert any("not marked as the scanner's" in text for text in read.warnings) == warned


def _own(folder: Path, unit: str, edge: float, **more: Any) -> Path:
    """Acquisition of this project with the affine scaled by ``edge`` and a stated unit of length."""
    folder.mkdir()
    for part, data in zip(("gre_magnitude", "gre_phase"), _truth(), strict=True):
        image = nibabel.Nifti1Image(data, np.diag([edge] * 3 + [1.0]) @ AFFINE)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, folder / f"{part}.nii.gz")
        note = {"artifact": part, "echo_times_s": [0.005, 0.01], "field_strength_t": 3.0, **more}
        (folder / f"{part}.json").write_text(json.dumps(note))
    return folder


@pytest.mark.parametrize(("unit", "edge"), [("mm", 1.0), ("unknown", 1.0), ("meter", 1e-3), ("micron", 1e3)])
def test_lengths_are_in_the_unit_that_the_header_states(tmp_path: Path, unit: str, edge: float) -> None:
    folder = _own(tmp_path / "gre", unit, edge)
    np.testing.assert_allclose(load_acquisition([folder]).grid.affine, AFFINE, atol=1e-4)
    np.testing.assert_allclose(read_nifti(folder / "gre_phase.nii.gz")[1].affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(("unit", "edge"), [("mm", 1e-3), ("meter", 1.0), ("unknown", 1e3), ("mm", 20.0), ("mm", 0.1)])
def test_voxels_that_no_head_has_are_refused(tmp_path: Path, unit: str, edge: float) -> None:
    folder = _own(tmp_path / "gre", unit, edge)
    expected = r"voxel size of .*got .* mm; expected edges from 0\.1 to 10 mm"
    with pytest.raises(InputError, match=expected):
        load_acquisition([folder])
    with pytest.raises(InputError, match=expected):
        read_nifti(folder / "gre_phase.nii.gz")
    single = nibabel.load(folder / "gre_magnitude.nii.gz").slicer[..., 0]
    nibabel.save(single, tmp_path / "flair.nii.gz")
    with pytest.raises(InputError, match=expected):
        load_image([tmp_path / "flair.nii.gz"])
    obstacles = inspect([folder]).obstacles
    assert [text for text in obstacles if "edges from 0.1 to 10 mm" in text] == list(obstacles)
    assert len(obstacles) == 2  # magnitude and phase


@pytest.mark.parametrize(
    "direction", [[0.0, 0.0, 0.0], [0.0, 0.0, float("nan")], [0.0, 1.0], [0.0, 0.0, 2.0], ["a", 0, 1], "k", 1.0]
)
def test_nonsense_as_direction_of_b0_is_refused(tmp_path: Path, direction: object) -> None:
    with pytest.raises(InputError, match=r"b0_direction_ijk .*; expected a unit vector of three numbers"):
        load_acquisition([_own(tmp_path / "gre", "mm", 1.0, b0_direction_ijk=direction)])


def test_direction_of_b0_may_be_there_or_not(tmp_path: Path) -> None:
    direction = load_acquisition([_own(tmp_path / "a", "mm", 1.0)]).scan.b0_direction_ijk
    again = load_acquisition([_own(tmp_path / "b", "mm", 1.0, b0_direction_ijk=list(direction))])
    assert again.scan.b0_direction_ijk == direction
