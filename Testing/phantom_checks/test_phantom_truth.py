"""A simulated patient against its own table, and signals against the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSepPhantoms import Phantom, PhantomOptions, simulate, write_nifti_study, write_truth
from ChiSepPhantoms.lesions import KINDS
from ChiSepPhantoms.tissues import FIRST_LESION_LABEL, TISSUES, relaxivities_hz_per_ppm
from ChiSepPreprocessLib.errors import CancelledError
from ChiSepPreprocessLib.files import read_mapset, read_nifti
from ChiSepPreprocessLib.progress import Reporter, Status

#: The middle of the head, noise-free for practical purposes, oblique and anisotropic.
MIDDLE = PhantomOptions(
    seed=5, voxel_size_mm=(1.0, 1.2, 1.5), shape=(72, 78, 52), fine_mm=0.75, snr=1e5, tilt_deg=(15.0, -8.0, 5.0),
    relaxivity="split", spin_echo=False, flair=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def middle() -> Phantom:
    return simulate(MIDDLE)


@pytest.fixture(scope="module")
def whole() -> Phantom:
    return simulate(PhantomOptions(voxel_size_mm=(3.0, 3.0, 3.0), fine_mm=1.5, se_voxel_size_mm=(3.0, 3.0, 5.0),
                                   flair_voxel_size_mm=(3.0, 3.0, 3.0)))  # fmt: skip


@pytest.mark.parametrize(
    "name", ["caudate", "putamen", "globus_pallidus", "thalamus", "red_nucleus", "substantia_nigra"]
)
def test_nuclei_have_the_values_of_the_table(middle: Phantom, name: str) -> None:
    from scipy.ndimage import binary_erosion

    tissue, iron = TISSUES[name], middle.iron.get(name, 1.0)
    region = binary_erosion(middle.labels == tissue.label)
    assert np.count_nonzero(region) > 12
    assert middle.truth.array("chi_para")[region].mean() == pytest.approx(tissue.chi_para * iron, rel=0.03)
    assert middle.truth.array("chi_dia")[region].mean() == pytest.approx(tissue.chi_dia, rel=0.01)
    assert middle.truth.array("r2")[region].mean() == pytest.approx(tissue.r2, rel=0.002)


def test_white_matter_is_as_the_atlas_has_it(whole: Phantom) -> None:
    region = whole.labels == TISSUES["white_matter"].label
    assert np.median(whole.truth.array("chi_dia")[region]) == pytest.approx(0.0288, rel=0.04)
    assert np.median(whole.truth.array("chi_para")[region]) == pytest.approx(0.0168, rel=0.1)


def test_truth_obeys_the_model(middle: Phantom) -> None:
    array = middle.truth.array
    np.testing.assert_array_equal(array("chi_total"), array("chi_para") - array("chi_dia"))
    np.testing.assert_array_equal(array("r2star"), array("r2") + array("r2prime"))
    para, dia = relaxivities_hz_per_ppm("split", 3.0)
    np.testing.assert_allclose(array("r2prime"), para * array("chi_para") + dia * array("chi_dia"), atol=2e-5)
    outside = ~array("brain_mask")
    assert all(not array(name)[outside].any() for name in ("chi_para", "chi_dia", "r2", "local_field", "csf_mask"))


def test_phase_grows_with_the_total_field(middle: Phantom) -> None:
    one = middle.acquisition
    signal = one.gre_magnitude * np.exp(1j * one.gre_phase)
    step_s = one.scan.echo_times_s[1] - one.scan.echo_times_s[0]
    measured_hz = np.angle(signal[..., 1] * np.conj(signal[..., 0])) / (2 * np.pi * step_s)
    truth_hz = middle.truth.array("total_field") * one.scan.reference_frequency_hz / 1e6
    turn_hz = 1 / step_s
    error = (measured_hz - truth_hz + turn_hz / 2) % turn_hz - turn_hz / 2
    inside = middle.truth.array("brain_mask")
    assert np.median(np.abs(error[inside])) < 0.001
    assert np.percentile(np.abs(error[inside]), 99) < 0.04
    assert np.abs(truth_hz[inside]).max() > 10


def test_magnitude_decays_with_r2star(middle: Phantom) -> None:
    one = middle.acquisition
    times = one.scan.echo_times_s
    rate = np.log(one.gre_magnitude[..., 0] / one.gre_magnitude[..., 2]) / (times[2] - times[0])
    # Voxels of one tissue, where mixing and macroscopic dephasing are small.
    inside = (middle.labels == TISSUES["white_matter"].label) & middle.truth.array("brain_mask")
    ratio = rate[inside] / middle.truth.array("r2star")[inside]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.001)
    # Dephasing across a voxel can only add to the rate; mixing of rates takes a little.
    assert np.percentile(ratio, 1) > 0.999


def test_local_field_is_that_of_the_brain_alone(whole: Phantom) -> None:
    """Against a plain convolution on the coarse grid, written here with numpy."""
    chi, brain = whole.truth.array("chi_total"), whole.truth.array("brain_mask")
    shape = [2 * n for n in chi.shape]
    k = np.meshgrid(*[np.fft.fftfreq(n, 3.0) for n in shape], indexing="ij")
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    square[0, 0, 0] = 1.0
    kernel = 1 / 3 - k[2] ** 2 / square
    kernel[0, 0, 0] = 0.0
    field = np.fft.ifftn(np.fft.fftn(chi, shape, axes=(0, 1, 2)) * kernel).real[tuple(slice(n) for n in chi.shape)][
        brain
    ]
    truth = whole.truth.array("local_field")[brain]
    assert np.linalg.norm(field - truth) / np.linalg.norm(truth) < 0.15
    assert np.corrcoef(field, truth)[0, 1] > 0.99


def test_lesions_are_there_in_their_sizes_and_contrasts(whole: Phantom) -> None:
    from scipy.ndimage import binary_dilation, binary_erosion

    lesions = whole.lesions
    assert len(lesions) == len(KINDS) >= 8
    assert sum(one.rim for one in lesions) == 1
    for one, kind in zip(lesions, KINDS, strict=True):
        assert one.volume_mm3 == pytest.approx(kind.volume_mm3, rel=0.3, abs=12.0)
    largest = whole.truth.array("lesions") == 1
    assert np.array_equal(largest, whole.labels == FIRST_LESION_LABEL)
    assert np.count_nonzero(largest) * 27.0 == pytest.approx(lesions[0].volume_mm3, rel=0.15)
    dia, white = whole.truth.array("chi_dia"), whole.labels == TISSUES["white_matter"].label
    around = dia[white & binary_dilation(largest, iterations=2)].mean()
    assert dia[binary_erosion(largest)].mean() - around == pytest.approx(lesions[0].dia_contrast_ppb / 1e3, abs=0.003)


def test_measured_snr_is_the_one_asked_for(whole: Phantom) -> None:
    from scipy.ndimage import binary_erosion

    first = whole.acquisition.gre_magnitude[..., 0]
    assert first[whole.truth.array("brain_mask")].mean() / whole.noise_sigma == pytest.approx(70.0, rel=0.002)
    air = first[binary_erosion(whole.labels == 0, iterations=2)]
    assert np.sqrt(np.mean(air**2) / 2) == pytest.approx(whole.noise_sigma, rel=0.01)


def test_scans_lie_on_their_own_grids(whole: Phantom) -> None:
    one = whole.acquisition
    assert one.spin_echo is not None
    assert one.flair is not None
    assert one.spin_echo.grid.voxel_size_mm == pytest.approx((3.0, 3.0, 5.0))
    directions = [grid.directions for grid in (one.grid, one.spin_echo.grid, one.flair.grid)]
    assert np.abs(directions[0] - directions[1]).max() > 0.02
    assert np.abs(directions[0] - directions[2]).max() > 0.02
    assert np.all(np.diff(one.spin_echo.magnitude.mean(axis=(0, 1, 2))) < 0)


def test_same_seed_same_patient_and_another_seed_another() -> None:
    small = PhantomOptions(seed=1, voxel_size_mm=(4.0, 4.0, 4.0), shape=(40, 48, 30), fine_mm=2.0, spin_echo=False,
                           flair=False)  # fmt: skip
    one, again, other = (simulate(replace(small, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.acquisition.gre_phase, again.acquisition.gre_phase)
    np.testing.assert_array_equal(one.truth.array("chi_para"), again.truth.array("chi_para"))
    assert [lesion.centre_mm for lesion in one.lesions] != [lesion.centre_mm for lesion in other.lesions]
    difference = one.truth.array("chi_para") - other.truth.array("chi_para")
    assert np.abs(difference).mean() > 0.1 * np.abs(one.truth.array("chi_para")).mean()
    assert one.iron != other.iron


def test_cancel_stops() -> None:
    def stop_at_field(status: Status) -> bool:
        return status.step != "field"

    tiny = PhantomOptions(voxel_size_mm=(6.0, 6.0, 6.0), fine_mm=6.0, spin_echo=False, flair=False)
    with pytest.raises(CancelledError):
        simulate(tiny, Reporter(stop_at_field))


def test_study_and_truth_come_back_from_disk(whole: Phantom, tmp_path: Path) -> None:
    write_nifti_study(whole, tmp_path / "study")
    write_truth(whole, tmp_path / "truth")
    data, grid = read_nifti(tmp_path / "study" / "gre_phase.nii.gz")
    np.testing.assert_array_equal(data, whole.acquisition.gre_phase)
    assert grid.matches(whole.acquisition.grid)
    back = read_mapset(tmp_path / "truth")
    assert set(back) == set(whole.truth)
    np.testing.assert_allclose(back.array("chi_dia"), whole.truth.array("chi_dia"), atol=1e-7)
    np.testing.assert_array_equal(back.array("lesions"), whole.truth.array("lesions"))
