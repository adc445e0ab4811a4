"""Resolution generalisation: a linear inversion that only knows cubes of 1 mm stands in for the network.

It is a Wiener filter, made for the smoothness that sources have at 1 mm, so that it depends on the voxel size as a
network does. Its sources are Gaussian balls, whose field is known exactly at any resolution.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft, ndimage

from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepReconstructLib.networks.resolution import Infer, Vector, Volume, across_resolutions, resampled
from sphere_fields import gaussian_field

_TRAINED: Vector = (1.0, 1.0, 1.0)
_FIELD_OF_VIEW_MM = np.array([38.0, 43.0, 35.0])
_PADDED_MM = 72.0
_SHARP = tuple((tuple(place), sigma) for place, sigma in zip(
    np.random.default_rng(7).uniform(-9, 9, (12, 3)).tolist(), [0.5, 0.55, 0.6, 0.7] * 3, strict=True))  # fmt: skip
_SMOOTH = tuple((tuple(place), sigma) for place, sigma in zip(
    np.random.default_rng(8).uniform(-9, 9, (12, 3)).tolist(), [2.0, 2.5, 3.0, 4.0] * 3, strict=True))  # fmt: skip
Sources = tuple[tuple[tuple[float, ...], float], ...]


@cache
def _case(voxel_mm: Vector, sources: Sources) -> tuple[Volume, Volume]:
    """χ and field of sources of alternating sign, on a grid of even or odd length, as it comes."""
    shape = np.ceil(_FIELD_OF_VIEW_MM / voxel_mm).astype(int)
    places = (np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - (shape - 1) / 2) * voxel_mm
    chi, field = np.zeros(shape), np.zeros(shape)
    for n, (centre, sigma_mm) in enumerate(sources):
        offset, size = places - centre, 0.1 * (-1) ** n
        chi += size * np.exp(-np.square(offset).sum(axis=-1) / (2 * sigma_mm**2))
        field += size * gaussian_field(offset, sigma_mm)
    return chi.astype(np.float32), field.astype(np.float32)


def _invert(field: Volume, report: Reporter | None = None, voxel_mm: Vector = _TRAINED) -> Volume:
    """Wiener filter; for voxels of 1 mm unless told otherwise."""
    return _filtered(field, _wiener(voxel_mm), voxel_mm)


def _divide(field: Volume, report: Reporter | None = None, voxel_mm: Vector = _TRAINED) -> Volume:
    """Division by the dipole, where it is 0.1 at least; for voxels of 1 mm unless told otherwise."""
    dipole = dipole_kernel(_padded(voxel_mm), voxel_mm, (0.0, 0.0, 1.0))
    return _filtered(field, 1 / np.copysign(np.maximum(np.abs(dipole), 0.1), dipole), voxel_mm)


@cache
def _wiener(voxel_mm: Vector) -> Volume:
    i, j, k = _padded(voxel_mm)
    axes = np.fft.fftfreq(i, voxel_mm[0]), np.fft.fftfreq(j, voxel_mm[1]), np.fft.rfftfreq(k, voxel_mm[2])
    square = sum(k**2 for k in np.meshgrid(*axes, indexing="ij", sparse=True))
    power = (1 + square / 0.08**2) ** -2
    dipole = dipole_kernel((i, j, k), voxel_mm, (0.0, 0.0, 1.0))
    return np.asarray(dipole * power / (dipole**2 * power + 1e-3), dtype=np.float32)


def _padded(voxel_mm: Vector) -> list[int]:
    return [round(_PADDED_MM / size) for size in voxel_mm]


def _filtered(field: Volume, response: NDArray[Any], voxel_mm: Vector) -> Volume:
    i, j, k = field.shape
    shape = _padded(voxel_mm)
    return np.asarray(fft.irfftn(fft.rfftn(field, shape) * response, shape)[:i, :j, :k])


def _interpolated(field: Volume, voxel_mm: Vector, infer: Infer) -> Volume:
    """Cubic B-splines to about 1 mm and back."""
    fine = ndimage.zoom(field, voxel_mm, order=3, mode="nearest", grid_mode=True)
    back = np.array(field.shape) / fine.shape
    return np.asarray(ndimage.zoom(infer(fine, Reporter()), back, order=3, mode="nearest", grid_mode=True))


def _error(estimate: NDArray[Any], truth: NDArray[Any]) -> float:
    """NRMSE in per cent, without the means, which no field tells."""
    estimate, truth = estimate - estimate.mean(), truth - truth.mean()
    return float(100 * np.linalg.norm(estimate - truth) / np.linalg.norm(truth))


def _run(field: Volume, voxel_mm: Vector, shifts: int, infer: Infer = _invert, **chosen: Any) -> Volume:
    return across_resolutions(field, voxel_mm, _TRAINED, infer, shifts=shifts, **chosen)


def test_one_sampling_at_the_trained_size_changes_nothing() -> None:
    _, field = _case(_TRAINED, _SMOOTH)
    seen: list[Volume] = []

    def infer(sampled: Volume, report: Reporter) -> Volume:
        seen.append(sampled)
        return _invert(sampled)

    chi = _run(field, _TRAINED, 1, infer)
    np.testing.assert_allclose(seen[0], field, atol=1e-6 * np.abs(field).max())
    np.testing.assert_allclose(chi, _invert(field), atol=1e-5 * np.abs(chi).max())
    assert chi.dtype == seen[0].dtype == np.float32


# NRMSE (%) against the truth: with the voxel size ignored, by cubic interpolation, 1 and 27 samplings, and of the same
# inversion told the true voxel size. Smooth sources, which all these voxels can show.
_SMOOTH_TABLE = {
    (1.0, 1.0, 1.0): (23.83, 23.83, 23.83, 23.97, 23.83),
    (2.0, 2.0, 2.0): (34.93, 23.53, 23.64, 23.70, 23.52),
    (1.0, 1.0, 2.0): (64.92, 23.51, 23.61, 23.67, 23.51),
    (1.0, 1.0, 3.0): (79.21, 23.53, 23.61, 23.72, 23.48),
    (3.0, 3.0, 3.0): (48.08, 23.67, 23.73, 23.83, 23.50),
    (0.7, 0.7, 0.7): (26.87, 23.80, 23.87, 23.84, 23.83),
    (0.6, 0.8, 1.5): (73.07, 23.50, 23.67, 23.64, 23.51),
}


@pytest.mark.parametrize("voxel_mm", _SMOOTH_TABLE)
def test_any_voxel_size_is_inverted_as_if_trained_on_it(voxel_mm: Vector) -> None:
    chi, field = _case(voxel_mm, _SMOOTH)
    native, one, best = _invert(field, voxel_mm=voxel_mm), _run(field, voxel_mm, 1), _run(field, voxel_mm, 3)
    made = (_invert(field), _interpolated(field, voxel_mm, _invert), one, best, native)
    assert [_error(each, chi) for each in made] == pytest.approx(_SMOOTH_TABLE[voxel_mm], abs=0.02)
    # The rest is at the edges of the grid, where the field does not end in 0.
    assert _error(best, native) < 2.0
    assert _error(one, native) < 1.8


# The same (thresholded division), for sources finer than the trained voxel: cubic interpolation, 1, 8 and 27
# samplings, 27 without dipole compensation, and told the true voxel size.
_SHARP_TABLE = {
    (0.8, 0.8, 0.8): (33.24, 28.46, 23.45, 23.45, 24.22, 23.15),
    (0.7, 0.7, 0.7): (33.36, 28.49, 23.34, 23.34, 25.15, 22.98),
    (0.6, 0.6, 0.6): (32.64, 28.42, 23.34, 23.35, 25.98, 23.00),
    (0.6, 0.6, 1.2): (37.60, 34.49, 32.21, 32.21, 32.94, 31.96),
}


@pytest.mark.parametrize("voxel_mm", _SHARP_TABLE)
def test_shifts_show_what_is_finer_than_the_trained_voxel(voxel_mm: Vector) -> None:
    chi, field = _case(voxel_mm, _SHARP)
    shifted = [_run(field, voxel_mm, shifts, _divide) for shifts in (1, 2, 3)]
    made = (_interpolated(field, voxel_mm, _divide), *shifted, _run(field, voxel_mm, 3, _divide, compensate=False),
            _divide(field, voxel_mm=voxel_mm))  # fmt: skip
    assert [_error(each, chi) for each in made] == pytest.approx(_SHARP_TABLE[voxel_mm], abs=0.02)


def _same(field: Volume, report: Reporter) -> Volume:
    return field


@pytest.mark.parametrize(
    ("voxel_mm", "tolerance"),
    [((0.7, 0.7, 0.7), 5e-3), ((0.6, 0.9, 1.4), 3e-4), ((2.0, 2.0, 2.0), 1e-3), ((1.3, 1.0, 3.0), 8e-3)],
)
def test_sampling_and_putting_together_lose_nothing(voxel_mm: Vector, tolerance: float) -> None:
    chi, _ = _case(voxel_mm, _SHARP if max(voxel_mm) < 1 else _SMOOTH)
    shifts = 1 if min(voxel_mm) >= 1 else 2
    # Nowhere exactly 0, which would be outside the brain.
    again = _run(chi + np.float32(1e-9), voxel_mm, shifts, _same, compensate=False)
    assert np.abs(again - chi).max() < tolerance * np.abs(chi).max()


# Cycles per mm of a wave and of what it is folded to; what the folded dipole is divided by.
@pytest.mark.parametrize(
    ("wave", "folded", "divisor"),
    [
        ((0.3, 0.0, 0.2), (0.3, 0.0, 0.2), None),
        ((0.7, 0.0, 0.2), (-0.3, 0.0, 0.2), 1 / 3 - 0.04 / 0.53),
        ((0.2, 0.75, 0.3), (0.2, -0.25, 0.3), 1 / 3 - 0.09 / 0.6925),
        ((0.3, 0.3, 0.7), (0.3, 0.3, -0.3), 1 / 3 - 0.49 / 0.67),
        ((0.2, 0.7, 0.58), (0.2, -0.3, -0.42), -0.2),  # the own dipole is −0.05
    ],
)
def test_compensation_is_the_folded_dipole_over_the_own_one(
    wave: Vector, folded: Vector, divisor: float | None
) -> None:
    places = (np.stack(np.meshgrid(*[np.arange(n) for n in (62, 63, 61)], indexing="ij"), -1) - 31) * 0.5
    packet = np.exp(-np.square(places).sum(axis=-1) / (2 * 4.5**2)) * np.cos(2 * np.pi * places @ wave + 0.3)
    plain, made = (_run(packet.astype(np.float32), (0.5,) * 3, 3, _same, compensate=one) for one in (False, True))
    trained = 1 / 3 - folded[2] ** 2 / np.square(folded).sum()
    expected = 1.0 if divisor is None else trained / divisor
    # A packet is as wide in k-space as the dipole's curvature shows.
    assert np.vdot(plain, made) / np.vdot(plain, plain) == pytest.approx(
        expected, abs=1e-5 if divisor is None else 0.07
    )
    assert _error(plain, packet) < 0.1


def test_it_is_linear_and_follows_the_field() -> None:
    voxel_mm = (0.7, 1.0, 1.6)
    _, one = _case(voxel_mm, _SMOOTH)
    _, other = _case(voxel_mm, _SHARP)
    chi = [_run(field, voxel_mm, 2) for field in (one, other, one - 3 * other)]
    np.testing.assert_allclose(chi[2], chi[0] - 3 * chi[1], atol=1e-5 * np.abs(chi[0]).max())
    middle = (slice(8, -8), slice(6, -6), slice(4, -4))
    field = np.zeros_like(one)
    field[middle] = one[middle]
    moved = _run(np.roll(field, (3, -2, 1), axis=(0, 1, 2)), voxel_mm, 3)
    back = np.roll(moved, (-3, 2, -1), axis=(0, 1, 2))
    assert _error(back[middle], _run(field, voxel_mm, 3)[middle]) < 1.0


def test_the_network_sees_the_brain_and_zeros_around_it() -> None:
    voxel_mm = (0.8, 1.5, 2.5)
    _, field = _case(voxel_mm, _SMOOTH)
    brain = np.zeros(field.shape, dtype=bool)
    brain[10:-12, 5:-6, 3:] = True
    seen: list[Volume] = []

    def infer(sampled: Volume, report: Reporter) -> Volume:
        seen.append(sampled)
        return sampled

    _run(field * brain, voxel_mm, 3, infer)
    assert len(seen) == 27
    assert len({sampled.shape for sampled in seen}) == 1
    lengths_mm = np.array([(one.any(axis=others).sum()) for one in seen for others in ((1, 2), (0, 2), (0, 1))])
    expected = np.array([brain.any(axis=others).sum() for others in ((1, 2), (0, 2), (0, 1))]) * voxel_mm
    assert np.abs(lengths_mm.reshape(27, 3) - expected).max() <= 1
    np.testing.assert_allclose(lengths_mm.reshape(27, 3).mean(axis=0), expected, atol=0.4)


def test_progress_grows_and_cancel_works_between_samplings() -> None:
    _, field = _case((2.0, 2.0, 2.0), _SMOOTH)
    heard: list[Status] = []

    def infer(sampled: Volume, report: Reporter) -> Volume:
        report("network", 0.5)
        return sampled

    _run(field, (2.0, 2.0, 2.0), 2, infer, report=Reporter(heard.append))
    shares = [status.fraction for status in heard]
    assert shares == pytest.approx([n / 16 for n in range(16)] + [1.0])
    assert heard[2].detail == "sampling 2 of 8"
    calls: list[int] = []

    def counting(sampled: Volume, report: Reporter) -> Volume:
        calls.append(1)
        return sampled

    with pytest.raises(CancelledError):
        _run(field, (2.0, 2.0, 2.0), 2, counting, report=Reporter(lambda status: status.fraction < 0.3))
    assert len(calls) == 3


def test_bad_input_is_refused() -> None:
    field = np.ones((5, 6, 7), dtype=np.float32)
    for voxel_mm in ((0.3, 1.0, 1.0), (1.0, 4.5, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0)):
        with pytest.raises(InputError, match="voxel size"):
            _run(field, voxel_mm, 3)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="voxel size"):
            across_resolutions(field, _TRAINED, voxel_mm, _same)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="voxel size"):
            resampled(field, _TRAINED, voxel_mm)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="shifts"):
        _run(field, _TRAINED, 0)
    for wrong in (field[0], np.full((5, 6, 7), np.nan, dtype=np.float32)):
        with pytest.raises(InputError, match="field"):
            _run(wrong, _TRAINED, 1)


@pytest.mark.parametrize("target_mm", [(2.0, 2.0, 2.0), (1.0, 1.0, 3.0), (0.7, 0.7, 0.7), (0.8, 1.6, 1.1)])
@pytest.mark.parametrize("shape", [(48, 54, 42), (47, 53, 45)])
def test_k_space_resampling_keeps_what_lies_below_the_window(target_mm: Vector, shape: tuple[int, int, int]) -> None:
    def ball(counts: tuple[int, ...], size_mm: Vector) -> NDArray[Any]:
        axes = np.ogrid[: counts[0], : counts[1], : counts[2]]
        places = [axis * size - 20.0 for axis, size in zip(axes, size_mm, strict=True)]
        return np.asarray(0.3 + np.exp(-(places[0] ** 2 + places[1] ** 2 + places[2] ** 2) / (2 * 3.2**2)))

    volume, reached_mm = resampled(ball(shape, _TRAINED), _TRAINED, target_mm)
    np.testing.assert_allclose(np.array(volume.shape) * reached_mm, shape, rtol=1e-12)
    np.testing.assert_allclose(reached_mm, target_mm, rtol=0.04)
    np.testing.assert_allclose(volume, ball(volume.shape, reached_mm), atol=2e-3)
    assert volume.dtype == np.float32


def test_the_window_falls_to_zero_in_the_last_fifth_of_the_band() -> None:
    n, kept = 60, 40
    for cycles, expected in [(0, 1.0), (12, 1.0), (16, 1.0), (18, 0.5), (19, 0.1464), (20, 0.0), (24, 0.0)]:
        wave = np.cos(2 * np.pi * cycles * np.arange(n) / n)[:, None, None] * np.ones((1, 4, 4))
        volume, reached_mm = resampled(wave, _TRAINED, (1.5, 1.0, 1.0))
        assert reached_mm == (1.5, 1.0, 1.0)
        again = np.cos(2 * np.pi * cycles * np.arange(kept) / kept)[:, None, None]
        np.testing.assert_allclose(volume, expected * again * np.ones((1, 4, 4)), atol=2e-4)
