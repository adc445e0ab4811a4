"""Bends of phase grow with the echo time, whatever the offset; those of phase differences do not."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.dicom.bends import Likeness, growth_exponent, likeness
from ChiSepPreprocessLib.dicom.checks import doubt_phase_differences
from ChiSepPreprocessLib.quantities import ppm_to_hz


def wrapped(phase: Array) -> Array:
    return np.angle(np.exp(1j * phase)).astype(np.float32)


def steps(phase: Array) -> Array:
    return wrapped(np.diff(phase, axis=3))


def as_measured(patient: Phantom) -> Array:
    return patient.acquisition.gre_phase


def with_coil_offset(patient: Phantom) -> Array:
    """Two turns across the head, curved."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in patient.acquisition.grid.shape), indexing="ij")
    return wrapped(as_measured(patient) + (6 * x + 3 * y**2 + 2 * np.sin(3 * z))[..., None])


def bipolar(patient: Phantom) -> Array:
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in patient.acquisition.grid.shape), indexing="ij")
    phase = as_measured(patient)
    return wrapped(phase + (4 * x + y**2 + 1)[..., None] * (np.arange(phase.shape[3]) % 2))


def high_pass(patient: Phantom) -> Array:
    """Filtered as for susceptibility-weighted images: against the signal smoothed with 8 mm."""
    signal = patient.acquisition.gre_magnitude * np.exp(1j * as_measured(patient))
    sigma = [8.0 / size for size in patient.acquisition.grid.voxel_size_mm]
    smooth = [gaussian_filter(echo.real, sigma) + 1j * gaussian_filter(echo.imag, sigma)
              for echo in np.moveaxis(signal, 3, 0)]  # fmt: skip
    return np.angle(signal * np.conj(np.stack(smooth, axis=3))).astype(np.float32)


def noisy(patient: Phantom) -> Array:
    """Signal-to-noise ratio of 10 in the first echo."""
    random = np.random.default_rng(2)
    signal = patient.acquisition.gre_magnitude * np.exp(1j * as_measured(patient))
    noise = 9.95 * patient.noise_sigma * (random.standard_normal((*signal.shape, 2)) @ [1, 1j])
    return np.angle(signal + noise).astype(np.float32)


@pytest.fixture(scope="module")
def phases(patient: Phantom) -> dict[str, Array]:
    """Phase of the same head, measured in several ways."""
    ways = (as_measured, with_coil_offset, bipolar, high_pass, noisy)
    return {way.__name__: way(patient) for way in ways}


@pytest.mark.parametrize(
    ("way", "echoes", "low", "high"),
    [
        *(("as_measured", echoes, 0.97, 1.03) for echoes in (2, 3, 6)),
        *(("with_coil_offset", echoes, 0.7, 1.05) for echoes in (2, 3, 6)),
        *(("bipolar", echoes, 0.85, 1.15) for echoes in (2, 3, 6)),
        *(("high_pass", echoes, 0.9, 1.1) for echoes in (2, 3, 6)),
        ("noisy", 6, 0.85, 1.15),
    ],
)
def test_phase_grows_with_the_echo_time(
    patient: Phantom, phases: dict[str, Array], way: str, echoes: int, low: float, high: float
) -> None:
    magnitude, times = patient.acquisition.gre_magnitude, patient.acquisition.scan.echo_times_s
    data = (magnitude[..., :echoes], phases[way][..., :echoes], times[:echoes],
            patient.acquisition.grid.voxel_size_mm)  # fmt: skip
    exponent = growth_exponent(*data)
    assert exponent is not None
    assert low < exponent < high
    assert doubt_phase_differences(*data) == ()


@pytest.mark.parametrize("echoes", [3, 4, 6])
@pytest.mark.parametrize("way", ["as_measured", "with_coil_offset", "bipolar", "high_pass"])
@pytest.mark.parametrize("last", [True, False], ids=["later magnitude", "earlier magnitude"])
def test_phase_differences_do_not_grow(
    patient: Phantom, phases: dict[str, Array], way: str, echoes: int, last: bool
) -> None:
    kept = slice(1, echoes) if last else slice(0, echoes - 1)
    times = patient.acquisition.scan.echo_times_s[kept]
    data = (patient.acquisition.gre_magnitude[..., kept], steps(phases[way][..., :echoes]), times,
            patient.acquisition.grid.voxel_size_mm)  # fmt: skip
    exponent = growth_exponent(*data)
    assert exponent is not None
    assert abs(exponent) < 0.2
    (text,) = doubt_phase_differences(*data)
    assert "phase differences between echoes" in text


def test_noise_and_single_slices_tell_nothing(patient: Phantom) -> None:
    acquisition = patient.acquisition
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, acquisition.gre_phase.shape).astype(np.float32)
    data = (acquisition.scan.echo_times_s, acquisition.grid.voxel_size_mm)
    assert growth_exponent(acquisition.gre_magnitude, noise, *data) is None
    middle = (slice(None), slice(None), slice(30, 31))
    assert growth_exponent(acquisition.gre_magnitude[middle], acquisition.gre_phase[middle], *data) is None
    assert doubt_phase_differences(acquisition.gre_magnitude, noise, *data) == ()


def test_measured_brain(real_data: Path) -> None:
    folder = real_data / "romeo"
    magnitude = np.asarray(nibabel.load(folder / "Mag.nii.gz").dataobj, np.float32)
    phase = nibabel.load(folder / "Phase.nii.gz").dataobj.get_unscaled().astype(np.float32)
    times, size = (0.004, 0.008, 0.012), (0.469, 0.469, 1.0)
    assert growth_exponent(magnitude, phase, times, size) == pytest.approx(1.0, abs=0.05)
    assert growth_exponent(magnitude[..., 1:], steps(phase), times[1:], size) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("name", ["total_field", "local_field"])
@pytest.mark.parametrize(
    ("way", "correlation"),
    [("as_measured", 0.9), ("with_coil_offset", 0.9), ("bipolar", 0.9), ("high_pass", 0.9), ("noisy", 0.5)],
)
def test_the_true_field_bends_as_the_phase_does(
    patient: Phantom, phases: dict[str, Array], name: str, way: str, correlation: float
) -> None:
    acquisition, scan = patient.acquisition, patient.acquisition.scan
    field_hz = ppm_to_hz(patient.truth.array(name).astype(np.float32), scan.reference_frequency_hz)
    random = np.random.default_rng(1).normal(0, field_hz.std(), field_hz.shape).astype(np.float32)

    def found_for(field: Array) -> Likeness | None:
        return likeness(
            acquisition.gre_magnitude, phases[way], scan.echo_times_s, acquisition.grid.voxel_size_mm, field
        )

    true, negative = found_for(field_hz), found_for(-field_hz)
    half, other = found_for(field_hz / 2), found_for(random)
    assert true is not None
    assert negative is not None
    assert half is not None
    assert true.correlation > correlation
    assert true.factor == pytest.approx(1.0, abs=0.2)
    assert negative.correlation == pytest.approx(-true.correlation, abs=0.02)
    assert half.factor == pytest.approx(2.0 * true.factor, rel=0.1)
    assert other is None or abs(other.correlation) < 0.1
