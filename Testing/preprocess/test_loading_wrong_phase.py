"""What cannot be the phase of each echo is refused or named: field maps, differences, magnitude, damaged echoes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import LoadOptions, inspect, load_acquisition
from dicom_writer_for_tests import Slab, Style, rotation, siemens_styles, write_siemens_gre, write_volume

Array = NDArray[Any]

SLAB = Slab(shape=(11, 9, 8))
ECHO_TIMES_MS = (5.0, 10.0, 15.0)
OPTIONS = LoadOptions(echo_times_s=(0.005, 0.01, 0.015), field_strength_t=3.0)


def _arrays(echoes: int = 3) -> tuple[Array, Array]:
    random = np.random.default_rng(4)
    shape = (*SLAB.shape, echoes)
    return random.integers(1, 4000, shape), random.integers(0, 4096, shape)


def _nifti(path: Path, data: Array, sidecar: dict[str, Any] | None = None) -> Path:
    affine = np.eye(4)
    affine[:3, :3] = rotation(15.0, 10.0, -4.0) * [0.9, 1.2, 2.0]
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    if sidecar is not None:
        path.with_suffix(".json").write_text(json.dumps({"ScanningSequence": "GR", **sidecar}))
    return path


def _refused(match: str, *paths: Path, phase: tuple[Path, ...] = ()) -> None:
    with pytest.raises(InputError, match=match):
        load_acquisition(paths, gre_phase=phase, options=OPTIONS)


# Maps that scanners make of phase


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image_type": ("DERIVED", "PRIMARY", "B0 MAP", "FFE")}, "field map"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "P", "ND"), "rescale_type": "Hz"}, "field map"),
        ({"philips": ("B0", 1.0)}, "field map"),
        ({"image_type": ("DERIVED", "PRIMARY", "PHASE DIFFERENCE")}, "phase difference"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "P", "ND"), "sequence_name": "*fm2d2r"}, "phase difference"),
    ],
    ids=["ImageType", "unit", "private type", "difference", "Siemens field mapping"],
)
def test_dicom_maps_made_from_phase(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    magnitude, values = _arrays()
    base = Style(image_type=("ORIGINAL", "PRIMARY", "M", "ND"))
    for e, time in enumerate(ECHO_TIMES_MS):
        write_volume(tmp_path, base, SLAB, time, magnitude[..., e])
    write_volume(tmp_path, replace(base, series="1.2.3.1.4", **change), SLAB, ECHO_TIMES_MS[1], values[..., 0])
    match = f"a {named}, by its header, in place of phase.*Export the phase images of each echo"
    _refused(match, tmp_path)
    assert named in inspect([tmp_path]).obstacles[0]


@pytest.mark.parametrize(
    ("sidecar", "named"),
    [
        ({"Units": "Hz"}, "field map"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "REAL", "FIELDMAPHZ"]}, "field map"),
        ({"EchoTime1": 0.005, "EchoTime2": 0.01, "ImageType": ["ORIGINAL", "PRIMARY", "P", "PHASE"]}, "phase diff"),
    ],
)
def test_nifti_maps_made_from_phase(tmp_path: Path, sidecar: dict[str, Any], named: str) -> None:
    magnitude, _ = _arrays()
    values = np.random.default_rng(1).normal(0.0, 80.0, SLAB.shape).astype(np.float32)
    gre = _nifti(tmp_path / "m.nii", magnitude.astype(np.int16))
    given = _nifti(tmp_path / "p.nii", values, sidecar)
    _refused(f"a {named}", gre, phase=(given,))
    if "ImageType" in sidecar or "Units" in sidecar:  # then it is known wherever it lies
        _refused(f"a {named}", gre, given)


def test_field_map_in_hz_without_a_word_is_known_by_its_range(tmp_path: Path) -> None:
    magnitude, _ = _arrays()
    field_hz = np.random.default_rng(1).normal(0.0, 80.0, magnitude.shape).astype(np.float32)
    gre = _nifti(tmp_path / "m.nii", magnitude.astype(np.int16))
    _refused(
        "fits no unit of phase; magnitude, or a field map in Hz", gre, phase=(_nifti(tmp_path / "p.nii", field_hz),)
    )


def test_one_phase_image_fewer_may_be_differences(tmp_path: Path) -> None:
    magnitude, phase = _arrays()
    as_magnitude, as_phase = siemens_styles()
    for e, time in enumerate(ECHO_TIMES_MS):
        write_volume(tmp_path, as_magnitude, SLAB, time, magnitude[..., e])
        if e:
            write_volume(tmp_path, as_phase, SLAB, time, phase[..., e])
    _refused("3 echoes of magnitude and 2 of phase.*may mean phase differences", tmp_path)


# Magnitude in the place of phase


def test_magnitude_given_as_phase_is_known_by_its_likeness(tmp_path: Path) -> None:
    magnitude, _ = _arrays()
    gre = _nifti(tmp_path / "m.nii", magnitude.astype(np.int16))
    other = _nifti(tmp_path / "p.nii", (0.9 * magnitude + 30.0).astype(np.float32))
    _refused(r"gre_phase of echo 1 \(5 ms\): got an image that resembles the magnitude", gre, phase=(other,))


def test_unsigned_phase_with_an_empty_background_is_no_magnitude(tmp_path: Path) -> None:
    """Inside and outside alone make masked phase resemble the magnitude; only the inside is compared."""
    magnitude, phase = _arrays()
    inside = np.arange(SLAB.shape[0])[:, None, None, None] < 4
    phase[0, 0, 0], phase[1, 0, 0] = 0, 4095
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude * inside, phase * inside)
    for file in tmp_path.iterdir():
        image = dcmread(file)
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            if keyword in image:
                delattr(image, keyword)
        image.save_as(file)
    likeness = np.corrcoef((phase * inside).ravel(), (magnitude * inside).ravel())[0, 1]
    assert likeness > 0.5
    assert load_acquisition([tmp_path]).warnings[0].startswith("The phase has no rescale")


def test_headers_that_say_magnitude_are_believed(tmp_path: Path) -> None:
    magnitude, _ = _arrays()
    told = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MAGNITUDE"]}
    gre = _nifti(tmp_path / "m.nii", magnitude.astype(np.int16), told)
    other = _nifti(tmp_path / "p.nii", magnitude.astype(np.int16), told)
    _refused("the images given as phase are magnitude by their headers", gre, phase=(other,))


# Damaged echoes


def test_an_empty_echo_is_named(tmp_path: Path) -> None:
    magnitude, phase = _arrays()
    magnitude[..., 1] = 0
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude, phase)
    _refused(r"gre_magnitude of echo 2 \(10 ms\): got values from 0 to 0.*exported whole", tmp_path)


def test_an_empty_phase_image_is_named(tmp_path: Path) -> None:
    magnitude, phase = _arrays()
    phase[..., 2] = 0
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude, phase)
    _refused(r"gre_phase of echo 3 \(15 ms\): got the same value everywhere, -4096", tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_saturated_echo_is_named(tmp_path: Path, share: float) -> None:
    magnitude, phase = _arrays()
    flat = magnitude[..., 1].copy().reshape(-1)
    flat[: round(share * flat.size)] = 4095
    magnitude[..., 1] = flat.reshape(SLAB.shape)
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude, phase)
    if share > 0.5:
        _refused(r"gre_magnitude of echo 2 \(10 ms\): got 60% of its voxels at the largest value, 4095", tmp_path)
        return
    (warning,) = load_acquisition([tmp_path]).warnings
    assert warning.startswith("10.0% of the voxels of echo 2 (10 ms) lie at its largest magnitude, 4095")


# Echo times


@pytest.mark.parametrize("times", [(0.01, 0.005, 0.015), (0.005, 0.005, 0.015)], ids=["unsorted", "duplicate"])
def test_stated_echo_times_out_of_order(tmp_path: Path, times: tuple[float, ...]) -> None:
    magnitude, phase = _arrays()
    write_siemens_gre(tmp_path, SLAB, ECHO_TIMES_MS, magnitude, phase)
    with pytest.raises(InputError, match=r"increasing times, each once.*--echo-times in the order of the echoes"):
        load_acquisition([tmp_path], options=LoadOptions(echo_times_s=times))


def test_duplicate_echo_times_of_headers(tmp_path: Path) -> None:
    magnitude, phase = _arrays()
    for style, stored in zip(siemens_styles(), (magnitude, phase), strict=True):
        for e, series in enumerate("abc"):
            write_volume(tmp_path, replace(style, series=f"{style.series}.{ord(series)}"), SLAB, 5.0, stored[..., e])
    _refused("magnitude: got 3 volumes for the echo time 5 ms", tmp_path)


def test_unsorted_echo_times_of_a_sidecar_are_sorted(tmp_path: Path) -> None:
    magnitude, phase = _arrays()
    radians = (np.pi * (2.0 * phase - 4096.0) / 4096.0).astype(np.float32)
    told = {"EchoTime": [0.015, 0.005, 0.01], "MagneticFieldStrength": 3}
    image = ["ORIGINAL", "PRIMARY"]
    gre = _nifti(tmp_path / "m.nii", magnitude.astype(np.int16), {**told, "ImageType": [*image, "M"]})
    given = _nifti(tmp_path / "p.nii", radians, {**told, "ImageType": [*image, "P"], "Units": "rad"})
    loaded = load_acquisition([gre, given])
    assert loaded.scan.echo_times_s == (0.005, 0.01, 0.015)
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude[..., [1, 2, 0]])
    np.testing.assert_array_equal(loaded.gre_phase, radians[..., [1, 2, 0]])


@pytest.mark.parametrize("what", ["shifted", "turned"])
def test_an_echo_that_lies_elsewhere(tmp_path: Path, what: str) -> None:
    magnitude, phase = _arrays()
    elsewhere = replace(SLAB, origin_mm=(-31.5, 12.25, 48.125))
    if what == "turned":
        elsewhere = replace(SLAB, axes=rotation(20.0, -12.0, 8.0))
    for style, stored in zip(siemens_styles(), (magnitude, phase), strict=True):
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(tmp_path, style, elsewhere if e == 1 else SLAB, time, stored[..., e])
    _refused("magnitude of echo 2: got the same size in another place", tmp_path)
