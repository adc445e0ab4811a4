"""Tikhonov's one-step inversion against dense linear algebra and analytic answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.fourier import Shape
from ChiSepReconstructLib.physics.operators import DipoleOperator, Vector
from ChiSepReconstructLib.solvers.tikhonov import Penalty, TikhonovOptions, inverse_response, tikhonov
from sphere_fields import background, ellipsoid, norm_ratio, source_susceptibility, sources

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)


_PADDINGS = (0.1, 0.25, 0.5, 1.0)


def circulant(shape: Shape, spectrum: NDArray[Any]) -> NDArray[np.float64]:
    """Matrix of a filter on a periodic grid, from its half spectrum."""
    identity = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    columns = np.fft.irfftn(spectrum * np.fft.rfftn(identity, axes=(1, 2, 3)), s=shape, axes=(1, 2, 3))
    return columns.reshape(len(identity), -1).T


def penalties(shape: Shape, length_mm: float, share: float) -> dict[str, list[NDArray[np.float64]]]:
    """Rows of each penalty: the gradient as differences, the larger of both as a filter."""
    identity = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    steps = [(np.roll(identity, -1, axis) - identity) / size for axis, size in zip((1, 2, 3), _VOXEL_MM, strict=True)]
    phases = np.meshgrid(*(2j * np.pi * np.fft.fftfreq(n) for n in shape), indexing="ij")
    power = sum(np.abs(np.expm1(phase) / size) ** 2 for phase, size in zip(phases, _VOXEL_MM, strict=True))
    larger = np.sqrt(np.maximum(length_mm**2 * power, share**2))[..., : shape[2] // 2 + 1]
    return {
        "gradient": [length_mm * step.reshape(len(identity), -1).T for step in steps],
        "identity": [share * np.eye(len(identity))],
        "bounded": [circulant(shape, larger)],
    }


@pytest.mark.parametrize("shape", [(5, 7, 6), (6, 5, 7)])
@pytest.mark.parametrize("penalty", ["bounded", "gradient", "identity"])
def test_minimises_the_objective_as_dense_least_squares_do(shape: Shape, penalty: Penalty) -> None:
    field = np.random.default_rng(3).standard_normal(shape)
    options = TikhonovOptions(penalty=penalty, gradient_length_mm=0.2, identity_share=0.2, padding=0.0)
    chi = tikhonov(field, np.ones(shape, dtype=bool), _VOXEL_MM, _OBLIQUE, options)
    dipole = circulant(shape, dipole_kernel(shape, _VOXEL_MM, _OBLIQUE))
    rows = penalties(shape, 0.2, 0.2)[penalty]
    rhs = np.concatenate([field.ravel(), np.zeros(sum(len(one) for one in rows))])
    expected = np.linalg.lstsq(np.vstack([dipole, *rows]), rhs, rcond=None)[0].reshape(shape)
    np.testing.assert_allclose(chi, expected - expected.mean(), atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("padding", "unbounded"), [(0.1, 35.0), (0.25, 38.0), (0.5, 44.1), (1.0, 50.3)])
def test_no_frequency_is_amplified_beyond_the_bound(padding: float, unbounded: float) -> None:
    """The gradient alone has no bound: the finer k-space is sampled, the more it amplifies."""
    dipole = DipoleOperator((51, 48, 40), _VOXEL_MM, _OBLIQUE, padding=padding)
    gains = {penalty: float(inverse_response(dipole, _VOXEL_MM, TikhonovOptions(penalty=penalty)).abs().max())
             for penalty in ("bounded", "gradient")}  # fmt: skip
    assert gains["bounded"] == pytest.approx(1 / (2 * TikhonovOptions().identity_share), rel=1e-3)
    assert gains["gradient"] == pytest.approx(unbounded, abs=0.1)


def test_padding_hardly_matters_though_background_fields_remain() -> None:
    """3 in 1000 of the background is left; the gradient alone makes of it what the padding happens to select."""
    voxel_mm = (2.0, 2.0, 2.0)
    mask, truth = ellipsoid(voxel_mm), source_susceptibility(voxel_mm)
    field = sources(voxel_mm, _OBLIQUE) + 0.003 * background(voxel_mm, _OBLIQUE)

    def percents(penalty: Penalty) -> list[float]:
        every = [TikhonovOptions(penalty=penalty, padding=padding) for padding in _PADDINGS]
        return [100 * centred_error(tikhonov(field, mask, voxel_mm, _OBLIQUE, one), truth, mask) for one in every]

    bounded, gradient = percents("bounded"), percents("gradient")
    assert bounded == pytest.approx([61.26, 59.64, 58.83, 58.74], abs=0.1)
    assert max(gradient) - min(gradient) > 20
    assert max(bounded) < min(gradient)


def centred_error(found: NDArray[np.float32], truth: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """NRMSE with the truth's mean."""
    return norm_ratio(found - found[mask].mean() + truth[mask].mean() - truth, truth, mask)


def test_a_weak_penalty_returns_every_frequency_that_the_field_holds() -> None:
    shape = (15, 17, 21)
    chi = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    field = field_from_chi(chi, _VOXEL_MM, _OBLIQUE, padding=0.0)
    found = tikhonov(field, np.ones(shape, dtype=bool), _VOXEL_MM, _OBLIQUE,
                     TikhonovOptions(penalty="identity", identity_share=1e-3, padding=0.0))  # fmt: skip
    misfit = field_from_chi(found, _VOXEL_MM, _OBLIQUE, padding=0.0) - field
    assert np.linalg.norm(misfit) < 1e-3 * np.linalg.norm(field)


@pytest.mark.parametrize(("penalty", "percent"), [("bounded", 52.84), ("gradient", 50.94), ("identity", 58.36)])
def test_spheres_of_known_field(penalty: Penalty, percent: float) -> None:
    voxel_mm = (2.0, 2.0, 2.0)
    mask, truth = ellipsoid(voxel_mm), source_susceptibility(voxel_mm)
    found = tikhonov(sources(voxel_mm, _OBLIQUE), mask, voxel_mm, _OBLIQUE, TikhonovOptions(penalty=penalty))
    assert 100 * centred_error(found, truth, mask) == pytest.approx(percent, abs=0.1)


def test_bad_input_is_refused_and_cancel_works() -> None:
    for bad in ({"gradient_length_mm": 0.0}, {"identity_share": float("nan")}, {"penalty": "ridge"}):
        with pytest.raises(InputError):
            TikhonovOptions(**bad)  # type: ignore[arg-type]
    field, mask = np.zeros((4, 4, 4)), np.ones((4, 4, 4), dtype=bool)
    with pytest.raises(InputError, match="shape"):
        tikhonov(field, mask[:3], _VOXEL_MM, _OBLIQUE)
    with pytest.raises(CancelledError):
        tikhonov(field, mask, _VOXEL_MM, _OBLIQUE, report=Reporter(lambda status: False))
