"""Scanner data load as dcm2niix and the files' own evidence have them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import RLELossless

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.dicom.polarity import slice_alternation, undo_alternation
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import (
    LoadOptions,
    check_reconstructable,
    inspect,
    load_acquisition,
    load_image,
    load_spin_echo,
)

Array = NDArray[Any]


def _converted(source: Path, target: Path) -> Path:
    """NIfTI files by dcm2niix alone."""
    options = ["-b", "n", "-z", "n", "-f", "x_%s", "-o", str(target)]
    subprocess.run([str(dcm2niix.bin), *options, str(source)], check=True, capture_output=True, timeout=120)
    return target


def _assert_same(
    data: Array,
    grid: Grid,
    path: Path,
    rescale: tuple[float, float] = (1.0, 0.0),
    *,
    atol: float = 0.0,
    rtol: float = 0.0,
) -> None:
    """Same values in the same places, whichever way the axes of the files run.

    The converter's stored numbers are rescaled here by hand: it rounds the slope of Philips phase to 11 bits.
    """
    image = nibabel.load(path)
    values = image.dataobj.get_unscaled() * rescale[0] + rescale[1]
    reference = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, image.affine))
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(data, grid.affine))
    assert np.abs(ours.affine - reference.affine).max() < 1e-4
    np.testing.assert_allclose(ours.get_fdata(), reference.get_fdata(), rtol=rtol, atol=atol)


def test_philips_classic(real_data: Path, tmp_path: Path) -> None:
    loaded = load_acquisition([real_data / "philips_classic"])
    folder = _converted(real_data / "philips_classic", tmp_path)

    assert loaded.gre_magnitude.shape == (80, 80, 53, 2)
    assert loaded.scan.echo_times_s == (0.0023, 0.0046)
    assert loaded.scan.field_strength_t == 3.0
    assert loaded.scan.imaging_frequency_hz == pytest.approx(127748512.0)
    assert loaded.source["b0_tilt_deg"] == pytest.approx(3.489, abs=1e-3)
    assert loaded.warnings == ()
    for echo in (0, 1):
        name = f"x_2001_e{echo + 1}"
        scale = 1 / 2.3798899201210588e-04, 0.0
        _assert_same(loaded.gre_magnitude[..., echo], loaded.grid, folder / f"{name}.nii", scale, rtol=1e-6)
        # (PV·RS + RI)/(RS·SS) with the numbers of the headers.
        scale = 1 / 651.739501953125, -3142 / (1.53455433455433 * 651.739501953125)
        _assert_same(loaded.gre_phase[..., echo], loaded.grid, folder / f"{name}_ph.nii", scale, atol=5e-7)


def test_slices_of_a_head_alternate_only_where_they_were_made_to(real_data: Path) -> None:
    loaded = load_acquisition([real_data / "philips_classic"])
    found = loaded.source["slice_alternation"]
    assert (found["angle_rad"], found["corrected"]) == (pytest.approx(0.0357, abs=5e-4), False)
    assert found["coherence"] == pytest.approx(0.982, abs=2e-3)
    alternating = loaded.gre_phase[..., 0].copy()
    undo_alternation(alternating, 2)
    made = slice_alternation(loaded.gre_magnitude[..., 0], alternating)
    assert (made.present, made.axis) == (True, 2)
    assert made.angle_rad == pytest.approx(np.pi - 0.0357, abs=5e-4)


def test_magnitude_of_a_later_echo_is_no_phase(real_data: Path, tmp_path: Path) -> None:
    image = nibabel.load(real_data / "romeo" / "Mag.nii.gz")
    nibabel.save(
        nibabel.Nifti1Image(image.get_fdata(dtype=np.float32)[..., [2, 2, 2]], image.affine), tmp_path / "p.nii"
    )
    options = LoadOptions(echo_times_s=(0.004, 0.008, 0.012), field_strength_t=3.0)
    with pytest.raises(InputError, match="resembles the magnitude"):
        load_acquisition([real_data / "romeo" / "Mag.nii.gz"], gre_phase=[tmp_path / "p.nii"], options=options)


def test_philips_phase_grows_where_the_field_is_above_b0(real_data: Path) -> None:
    """Air in the sinuses is paramagnetic against tissue: it raises the field in the frontal lobe above it."""
    loaded = load_acquisition([real_data / "philips_classic"])
    first, second = np.moveaxis(loaded.gre_phase, -1, 0)
    field_hz = np.angle(np.exp(1j * (second - first))) / (2 * np.pi * 0.0023)
    bright = loaded.gre_magnitude[..., 0] > np.percentile(loaded.gre_magnitude[..., 0], 75)
    voxels = np.argwhere(bright)
    ras_mm = voxels @ loaded.grid.affine[:3, :3].T + loaded.grid.affine[:3, 3]
    right, anterior, superior = (ras_mm - ras_mm.mean(axis=0)).T
    frontal = (np.abs(right) < 20) & (anterior > 50) & (anterior < 75) & (np.abs(superior) < 12)
    rise_hz = np.median(field_hz[bright][frontal]) - np.median(field_hz[bright])
    assert frontal.sum() > 500
    assert rise_hz > 60.0


def test_siemens_single_slice(real_data: Path, tmp_path: Path) -> None:
    loaded = load_acquisition([real_data / "siemens_megre"])
    folder = _converted(real_data / "siemens_megre", tmp_path)

    assert loaded.scan.echo_times_s == (0.004, 0.010, 0.016)
    for echo in range(3):
        _assert_same(loaded.gre_magnitude[..., echo], loaded.grid, folder / f"x_2_e{echo + 1}.nii")
        scale = 2 * np.pi / 4096, -np.pi
        _assert_same(loaded.gre_phase[..., echo], loaded.grid, folder / f"x_3_e{echo + 1}_ph.nii", scale, atol=5e-7)
    with pytest.raises(InputError, match="1 slice"):
        check_reconstructable(loaded)
    inventory = inspect([real_data / "siemens_megre"])
    assert not inventory.can_reconstruct
    assert inventory.obstacles == ("1 slice; at least 8 voxels are needed along each axis",)


def test_dual_echo_tse(real_data: Path, tmp_path: Path) -> None:
    spin_echo = load_spin_echo([real_data / "tse_pd_t2"])
    folder = _converted(real_data / "tse_pd_t2", tmp_path)
    assert (spin_echo.echo_times_s, spin_echo.is_turbo) == ((0.011, 0.092), True)
    for echo in (0, 1):
        _assert_same(spin_echo.magnitude[..., echo], spin_echo.grid, folder / f"x_3_e{echo + 1}.nii")
    (row,) = inspect([real_data / "tse_pd_t2"]).series
    assert (row.role, row.component, row.echo_times_s) == ("tse", "magnitude", (0.011, 0.092))


def test_nifti_whose_scaling_lies(real_data: Path) -> None:
    """The header scales wrapped radians to ±0.00367; the stored values are right."""
    folder = real_data / "romeo"
    options = LoadOptions(echo_times_s=(0.004, 0.008, 0.012), field_strength_t=3.0)
    loaded = load_acquisition([folder / "Mag.nii.gz"], gre_phase=[folder / "Phase.nii.gz"], options=options)
    stored = nibabel.load(folder / "Phase.nii.gz").dataobj.get_unscaled()
    np.testing.assert_allclose(loaded.gre_phase, stored, atol=1e-6)
    assert np.abs(loaded.gre_phase).max() == pytest.approx(np.pi, abs=1e-6)
    assert any("±0.00367 rad" in warning for warning in loaded.warnings)
    check_reconstructable(loaded)


def test_flair_and_label_map(real_data: Path) -> None:
    folder = real_data / "ms" / "patient07"
    flair, lesions = load_image([folder / "flair.nii.gz"]), load_image([folder / "lesions_consensus.nii.gz"])
    assert flair.grid.matches(lesions.grid)
    volume_ml = lesions.data.astype(bool).sum() * lesions.grid.voxel_volume_mm3 / 1e3
    assert volume_ml == pytest.approx(1.3, abs=0.05)


def test_compressed_scanner_data(real_data: Path, tmp_path: Path) -> None:
    """A lossless compressed copy of the first echo, decoded by dcm2niix, loads as the plain files do."""
    for number, file in enumerate(sorted((real_data / "philips_classic").glob("*.dcm"))):
        image = dcmread(file)
        if image.EchoNumbers == 1:
            image.compress(RLELossless, generate_instance_uid=False)
            image.save_as(tmp_path / f"{number * 37 % 997:03d}")
    plain, packed = load_acquisition([real_data / "philips_classic"]), load_acquisition([tmp_path])
    np.testing.assert_array_equal(packed.grid.affine, plain.grid.affine)
    np.testing.assert_allclose(packed.gre_magnitude, plain.gre_magnitude[..., :1], rtol=1e-6)
    np.testing.assert_allclose(packed.gre_phase, plain.gre_phase[..., :1], atol=1e-6)
