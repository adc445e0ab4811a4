"""Tikhonov's one-step inversion against dense linear algebra and analytic answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.fourier import Shape
from ChiSepReconstructLib.physics.operators import Vector
from ChiSepReconstructLib.solvers.tikhonov import Penalty, TikhonovOptions, tikhonov
from sphere_fields import ellipsoid, norm_ratio, source_susceptibility, sources

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)


def dense(shape: Shape) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Dipole and circular differences per mm as matrices."""
    identity = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    kernel = dipole_kernel(shape, _VOXEL_MM, _OBLIQUE)
    axes = (1, 2, 3)
    fields = np.fft.irfftn(kernel * np.fft.rfftn(identity, axes=axes), s=shape, axes=axes)
    steps = [(np.roll(identity, -1, axis) - identity) / size for axis, size in zip(axes, _VOXEL_MM, strict=True)]
    return fields.reshape(len(identity), -1).T, [step.reshape(len(identity), -1).T for step in steps]


@pytest.mark.parametrize("shape", [(5, 7, 6), (6, 5, 7)])
@pytest.mark.parametrize("penalty", ["gradient", "identity"])
def test_minimises_the_objective_as_dense_least_squares_do(shape: Shape, penalty: Penalty) -> None:
    field = np.random.default_rng(3).standard_normal(shape)
    options = TikhonovOptions(penalty=penalty, gradient_length_mm=0.3, identity_share=0.2, padding=0.0)
    chi = tikhonov(field, np.ones(shape, dtype=bool), _VOXEL_MM, _OBLIQUE, options)
    dipole, steps = dense(shape)
    rows = [0.3 * step for step in steps] if penalty == "gradient" else [0.2 * np.eye(field.size)]
    rhs = np.concatenate([field.ravel(), np.zeros(len(rows) * field.size)])
    expected = np.linalg.lstsq(np.vstack([dipole, *rows]), rhs, rcond=None)[0].reshape(shape)
    np.testing.assert_allclose(chi, expected - expected.mean(), atol=3e-6 * np.abs(expected).max())


def test_a_weak_penalty_returns_every_frequency_that_the_field_holds() -> None:
    shape = (15, 17, 21)
    chi = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    field = field_from_chi(chi, _VOXEL_MM, _OBLIQUE, padding=0.0)
    found = tikhonov(field, np.ones(shape, dtype=bool), _VOXEL_MM, _OBLIQUE,
                     TikhonovOptions(penalty="identity", identity_share=1e-3, padding=0.0))  # fmt: skip
    misfit = field_from_chi(found, _VOXEL_MM, _OBLIQUE, padding=0.0) - field
    assert np.linalg.norm(misfit) < 1e-3 * np.linalg.norm(field)


@pytest.mark.parametrize(("penalty", "percent"), [("gradient", 50.94), ("identity", 58.06)])
def test_spheres_of_known_field(penalty: Penalty, percent: float) -> None:
    voxel_mm = (2.0, 2.0, 2.0)
    mask = ellipsoid(voxel_mm)
    truth = source_susceptibility(voxel_mm)
    found = tikhonov(sources(voxel_mm, _OBLIQUE), mask, voxel_mm, _OBLIQUE, TikhonovOptions(penalty=penalty))
    found -= found[mask].mean() - truth[mask].mean()
    assert 100 * norm_ratio(found - truth, truth, mask) == pytest.approx(percent, abs=0.1)


def test_bad_input_is_refused_and_cancel_works() -> None:
    for bad in ({"gradient_length_mm": 0.0}, {"identity_share": float("nan")}, {"penalty": "ridge"}):
        with pytest.raises(InputError):
            TikhonovOptions(**bad)  # type: ignore[arg-type]
    field, mask = np.zeros((4, 4, 4)), np.ones((4, 4, 4), dtype=bool)
    with pytest.raises(InputError, match="shape"):
        tikhonov(field, mask[:3], _VOXEL_MM, _OBLIQUE)
    with pytest.raises(CancelledError):
        tikhonov(field, mask, _VOXEL_MM, _OBLIQUE, report=Reporter(lambda status: False))
