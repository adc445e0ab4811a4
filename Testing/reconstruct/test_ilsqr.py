"""iLSQR: each step against dense linear algebra or a known answer, then spheres whose field is analytic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.physics.fourier import Shape
from ChiSepReconstructLib.physics.operators import Differences, DipoleOperator, Vector
from ChiSepReconstructLib.solvers.field_problem import FieldProblem, field_problem
from ChiSepReconstructLib.solvers.ilsqr import (
    IlsqrOptions,
    StreakOptions,
    falling,
    fast_qsm,
    gradient_weights,
    ilsqr,
    laplacian_weights,
    least_squares,
    run,
    streaks,
)
from ChiSepReconstructLib.solvers.tkd import TkdOptions, tkd
from sphere_fields import COARSE_MM, coordinates_mm, ellipsoid, sources

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)
#: As in ``sphere_fields.sources``: centre and radius in mm, ppm.
BALLS = (((-12.0, 5.0, 4.0), 5.0, 0.1), ((12.0, 5.0, 4.0), 4.0, 0.12), ((2.0, -22.0, 8.0), 3.0, -0.1),
         ((-8.0, 20.0, -9.0), 3.5, 0.08), ((15.0, -14.0, -10.0), 4.5, -0.06))  # fmt: skip


def problem(field: NDArray[Any], mask: NDArray[np.bool_] | None = None, padding: float = 0.0) -> FieldProblem:
    i, j, k = field.shape
    inside = torch.from_numpy(np.ones(field.shape, bool) if mask is None else mask).float()
    return FieldProblem(
        field=torch.from_numpy(field).float() * inside, mask=inside, weights=inside,
        dipole=DipoleOperator((i, j, k), _VOXEL_MM, _OBLIQUE, padding=padding),
        differences=Differences(_VOXEL_MM), weighted_by="mask",
    )  # fmt: skip


def smooth_random(shape: Shape, seed: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@pytest.mark.parametrize("shape", [(15, 17, 13), (14, 12, 10)])
def test_noise_free_data_are_explained(shape: Shape) -> None:
    chi = smooth_random(shape)
    given = problem(DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=0.0)(chi).numpy())
    found = least_squares(given, given.mask, 1e-5, 1000)
    assert found.status is Status.CONVERGED
    assert float((given.dipole(found.x) - given.field).norm() / given.field.norm()) < 1e-3
    well_conditioned = given.dipole.kernel.abs() > 0.05
    difference = torch.fft.rfftn(found.x - chi)[well_conditioned]
    assert float(difference.norm() / torch.fft.rfftn(chi)[well_conditioned].norm()) < 1e-4


def test_least_squares_solve_the_equations_of_the_paper() -> None:
    shape = (5, 4, 3)
    count = int(np.prod(shape))
    dipole = DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=0.0)
    convolution = np.stack([dipole(one.reshape(shape)).numpy().ravel() for one in torch.eye(count)]).astype(float)
    weights = np.random.default_rng(8).uniform(0.1, 1.0, count)
    field = np.random.default_rng(9).standard_normal(shape)
    expected = np.linalg.pinv(convolution @ np.diag(weights) @ convolution, rcond=1e-5) @ (
        convolution @ (weights * field.ravel()))  # fmt: skip
    found = least_squares(problem(field), torch.from_numpy(weights.reshape(shape)).float(), 1e-7, 300)
    np.testing.assert_allclose(found.x.numpy().ravel(), expected, atol=2e-3 * np.abs(expected).max())


def test_weights_fall_between_the_percentiles() -> None:
    values, inside = torch.arange(101.0), torch.ones(101)
    inside[100] = 0.0
    weights = falling(values, inside, (40.0, 80.0))
    low, high = np.percentile(np.arange(100.0), [40.0, 80.0])
    np.testing.assert_allclose(weights[:100], np.clip((high - np.arange(100.0)) / (high - low), 0, 1), atol=1e-6)
    assert weights[100] == 0.0
    assert torch.equal(falling(torch.zeros(9), torch.ones(9), (60.0, 99.0)), torch.zeros(9))


def test_a_linear_field_counts_fully_up_to_the_rim_of_the_mask() -> None:
    mask = np.zeros((12, 13, 14), dtype=bool)
    mask[2:-2, 3:-3, 2:-2] = True
    field = np.zeros(mask.shape)
    field[5, 6, 7] = 1.0
    weights = laplacian_weights(problem(field, mask), (60.0, 99.9)).numpy()
    assert weights[5, 6, 7] < 0.1
    assert np.all(weights[mask & (field == 0)] > 0.5)
    assert not weights[~mask].any()


def test_streaks_are_told_from_tissue() -> None:
    shape = (24, 22, 20)
    tissue = np.zeros(shape)
    tissue[6:15, 5:14, 4:13] = 0.1
    tissue[16:20, 8:18, 10:16] = -0.05
    given = problem(np.zeros(shape))
    streak = given.dipole.filtered(0.1 * smooth_random(shape), (given.dipole.kernel.abs() < 0.1).float())
    chi = torch.from_numpy(tissue).float()
    weights = (given.differences(chi) == 0).float()
    found = streaks(given, chi + streak, weights, StreakOptions(tolerance=1e-4, iterations=400))
    assert found.status is Status.CONVERGED
    error = found.x - found.x.mean() - streak + streak.mean()
    assert float(error.norm() / streak.norm()) < 0.02


def test_fast_qsm_fits_tkd_and_tells_borders() -> None:
    maps, mask, chi = spheres(COARSE_MM[0])
    given = field_problem(maps, mask, padding=0.25)
    quick = fast_qsm(given).numpy()
    reference = tkd(maps.array("local_field"), mask, COARSE_MM[0], _OBLIQUE, TkdOptions(threshold=0.125, padding=0.25))
    slope, offset = np.polyfit(quick[mask], reference[mask], 1)
    assert slope == pytest.approx(1.0, abs=1e-3)
    assert offset == pytest.approx(0.0, abs=1e-5)
    weights = gradient_weights(given.differences(torch.from_numpy(quick)), given.inside(), (50.0, 70.0))
    borders = (given.differences(torch.from_numpy(chi).float()).abs() > 0.04) & (given.inside() > 0)
    assert float(weights[borders].mean()) < 0.08
    assert float(weights[given.inside() > 0].mean()) == pytest.approx(0.6, abs=0.01)


def spheres(voxel_mm: Vector, noise_ppm: float = 0.0003) -> tuple[MapSet, NDArray[np.bool_], NDArray[np.float64]]:
    """Balls in an ellipsoid with their analytic field, noise, and χ from the share of each voxel inside a ball."""
    mask, field = ellipsoid(voxel_mm), sources(voxel_mm, _OBLIQUE)
    field = field + noise_ppm * np.random.default_rng(2).standard_normal(field.shape)
    chi = np.zeros(mask.shape)
    size = float(np.mean(voxel_mm))
    for centre, radius, value in BALLS:
        offsets = [x - c for x, c in zip(coordinates_mm(voxel_mm), centre, strict=True)]
        distance = np.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2)
        chi = chi + value * np.clip((radius - distance) / size + 0.5, 0.0, 1.0)
    grid = Grid(mask.shape, np.diag([*voxel_mm, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=_OBLIQUE)
    arrays = {"local_field": field * mask, "brain_mask": mask}
    return MapSet(grid, scan, {name: Map(name=name, data=data, grid=grid) for name, data in arrays.items()}), mask, chi


def error(chi: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Relative, without the mean, which QSM leaves open."""
    x, y = chi[mask] - chi[mask].mean(), truth[mask] - truth[mask].mean()
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


@pytest.mark.parametrize("voxel_mm", [COARSE_MM[0], (1.5, 2.0, 3.0)])
def test_spheres_come_back_with_fewer_streaks_than_from_tkd(voxel_mm: Vector) -> None:
    maps, mask, truth = spheres(voxel_mm)
    first, streak = ilsqr(field_problem(maps, mask, padding=0.25), IlsqrOptions())
    before, after = (error(one.numpy(), truth, mask) for one in (first.x, first.x - streak.x))
    divided = error(tkd(maps.array("local_field"), mask, voxel_mm, _OBLIQUE), truth, mask)
    assert after < 0.85 * before
    assert after < 0.82 * divided
    assert after < 0.53


def test_a_run_is_zero_outside_the_mask_and_the_same_again() -> None:
    maps, mask, _ = spheres((3.0, 2.0, 4.0))
    options = IlsqrOptions(streaks=StreakOptions(iterations=4))
    solution = run(maps, mask, options, Reporter())
    chi = solution.maps["chi_total"]
    assert chi.dtype == np.float32
    assert chi.shape == mask.shape
    assert not chi[~mask].any()
    assert chi[mask].all()
    assert solution.record["streaks"]["iterations"] == 4
    assert "Streaks of iLSQR stopped by iteration limit after 4 iterations" in solution.warnings[-1]
    np.testing.assert_array_equal(chi, run(maps, mask, options, Reporter()).maps["chi_total"])


@pytest.mark.parametrize("step", ["least squares", "fast QSM", "streaks"])
def test_cancel_works_in_every_step(step: str) -> None:
    maps, mask, _ = spheres((3.0, 2.0, 4.0))
    with pytest.raises(CancelledError, match=step):
        run(maps, mask, IlsqrOptions(), Reporter(lambda status: status.step != step))


def test_bad_options_are_refused() -> None:
    for threshold in (0.0, 0.7, float("nan")):
        with pytest.raises(InputError, match="threshold of streaks"):
            StreakOptions(threshold=threshold)
    for percentiles in ((70.0, 50.0), (50.0, 50.0), (-1.0, 50.0), (50.0, 101.0), (float("nan"), 50.0)):
        with pytest.raises(InputError, match="percentiles of the gradient"):
            StreakOptions(gradient_percentiles=percentiles)
        with pytest.raises(InputError, match="percentiles of the Laplacian"):
            IlsqrOptions(laplacian_percentiles=percentiles)
    for tolerance in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="tolerance of iLSQR"):
            IlsqrOptions(tolerance=tolerance)
    with pytest.raises(InputError, match="iterations of the estimation of streaks"):
        StreakOptions(iterations=0)
