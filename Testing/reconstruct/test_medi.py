"""MEDI against minimisers that share nothing with it, and each term for what it is there for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.operators import Vector
from ChiSepReconstructLib.solvers.field_problem import edge_weights, field_problem
from ChiSepReconstructLib.solvers.medi import (
    FLOOR_PPM_PER_MM,
    MediOptions,
    add_deviation,
    medi,
    phase_over_echo_spacing,
    run,
    take_weight_from_outliers,
)  # fmt: skip
from sphere_fields import ellipsoid, norm_ratio, source_susceptibility, sources

Real = NDArray[np.float64]

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)
_TIGHT: dict[str, Any] = {"outer_iterations": 40, "tolerance": 1e-5, "inner_iterations": 100, "inner_tolerance": 1e-2,
                          "padding": 0.0, "merit": False}  # fmt: skip


def maps_of(voxel_mm: Vector, **data: NDArray[Any]) -> MapSet:
    grid = Grid(data["local_field"].shape, np.diag([*voxel_mm, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005, 0.01, 0.015), field_strength_t=3.0, b0_direction_ijk=_OBLIQUE)
    return MapSet(grid, scan, {name: Map(name=name, data=value, grid=grid) for name, value in data.items()})


def small_head(shape: tuple[int, int, int] = (7, 9, 5)) -> tuple[MapSet, NDArray[np.bool_]]:
    """Random maps in a mask that leaves out a corner."""
    rng = np.random.default_rng(6)
    mask = np.ones(shape, dtype=bool)
    mask[:2, :3, :2] = False
    field = (0.05 * rng.standard_normal(shape) * mask).astype(np.float32)
    magnitude = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return maps_of(_VOXEL_MM, local_field=field, magnitude=magnitude), mask


def field_of(chi: Real, voxel_mm: Vector = _VOXEL_MM) -> Real:
    kernel = dipole_kernel(chi.shape, voxel_mm, _OBLIQUE)
    field: Real = np.fft.irfftn(kernel * np.fft.rfftn(chi), s=chi.shape, axes=(0, 1, 2))
    return field


@pytest.mark.parametrize("csf_weight", [0.0, 0.5])
def test_finds_the_minimum_that_a_general_minimiser_finds(csf_weight: float) -> None:
    maps, mask = small_head()
    options = MediOptions(regularisation_ppm_mm=2e-3, csf_weight=csf_weight, nonlinear=False, **_TIGHT)
    problem = field_problem(maps, mask, padding=0.0, device="cpu")
    allowed = edge_weights(problem.tensor(maps.array("magnitude")), problem.inside(), problem.differences, 0.3)
    csf = np.zeros(mask.shape)
    csf[3:5, 4:8, 1:4] = 1.0
    found = medi(problem, allowed, problem.tensor(csf), options, radians_per_ppm=4.0).x.numpy()
    weights, free = problem.weights.numpy().astype(float), allowed.numpy().astype(float)

    def objective(values: Real) -> tuple[float, Real]:
        chi = np.zeros(mask.shape)
        chi[mask] = values
        residual = weights * (field_of(chi) - maps.array("local_field"))
        steps = [np.diff(chi, axis=axis) / size for axis, size in enumerate(_VOXEL_MM)]
        smooth = [np.sqrt(step**2 + FLOOR_PPM_PER_MM**2) for step in steps]
        inside = [np.take(free[axis], range(step.shape[axis]), axis=axis) for axis, step in enumerate(steps)]
        ventricle = csf * (chi - chi[csf > 0].mean())
        gradient = field_of(weights * residual) + csf_weight * ventricle
        for axis, size in enumerate(_VOXEL_MM):
            slope = 2e-3 * inside[axis] * steps[axis] / smooth[axis] / size
            gradient[tuple(slice(1, None) if n == axis else slice(None) for n in range(3))] += slope
            gradient[tuple(slice(None, -1) if n == axis else slice(None) for n in range(3))] -= slope
        total = sum(float((a * b).sum()) for a, b in zip(inside, smooth, strict=True))
        value = 0.5 * (residual**2).sum() + 2e-3 * total + 0.5 * csf_weight * (ventricle**2).sum()
        return value, gradient[mask]

    best = minimize(objective, np.zeros(mask.sum()), jac=True, method="L-BFGS-B",
                    options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9})  # fmt: skip
    ours = objective(found[mask].astype(float))
    assert ours[0] == pytest.approx(best.fun, rel=1e-5)
    assert ours[0] < 0.9 * objective(np.zeros(mask.sum()))[0]
    constant = best.x.mean() - found[mask].mean()
    assert np.linalg.norm(found[mask] + constant - best.x) < 0.006 * np.linalg.norm(best.x)
    assert not found[~mask].any()


@pytest.mark.parametrize("nonlinear", [False, True])
def test_data_without_noise_are_explained(nonlinear: bool) -> None:
    maps, mask = small_head((13, 15, 11))
    problem = field_problem(maps, mask, padding=0.3, device="cpu")
    truth = torch.from_numpy(np.random.default_rng(1).uniform(-0.1, 0.1, mask.shape)).float() * problem.mask
    problem.field.copy_(problem.mask * problem.dipole(truth))
    few = {**_TIGHT, "outer_iterations": 5, "inner_iterations": 100}
    options = MediOptions(regularisation_ppm_mm=1e-9, nonlinear=nonlinear, **few)
    outcome = medi(problem, problem.inside(), torch.zeros_like(truth), options, radians_per_ppm=4.0)
    misfit = problem.mask * problem.dipole(outcome.x) - problem.field
    assert float(misfit.norm() / problem.field.norm()) < 1e-3


def test_a_turn_of_phase_does_no_harm_to_the_nonlinear_term() -> None:
    maps, mask = small_head()
    radians = phase_over_echo_spacing(maps.scan)
    assert radians == pytest.approx(2 * np.pi * 127.732 * 0.005, rel=1e-5)
    field = maps.array("local_field").copy()
    field[4, 4, 2] += 2 * np.pi / radians
    wrapped = maps_of(_VOXEL_MM, local_field=field, magnitude=maps.array("magnitude"))

    def chi(of: MapSet, nonlinear: bool) -> NDArray[np.float32]:
        options = MediOptions(nonlinear=nonlinear, merit=False, outer_iterations=3, inner_iterations=15)
        return run(of, mask, options, Reporter()).maps["chi_total"]

    unharmed = chi(maps, True)
    assert norm_ratio(chi(wrapped, True) - unharmed, unharmed, mask) < 1e-3
    assert norm_ratio(chi(wrapped, False) - unharmed, unharmed, mask) > 1.0


def test_merit_takes_weight_from_outliers_alone() -> None:
    residual = torch.from_numpy(np.random.default_rng(2).standard_normal((20, 20, 20))).float()
    residual[3, 4, 5] = 60.0
    mask, weights = torch.ones_like(residual), torch.ones_like(residual)
    limit = 6.0 * float(residual.square().mean().sqrt())
    take_weight_from_outliers(weights, residual, mask)
    assert float(weights[3, 4, 5]) == pytest.approx((limit / 60.0) ** 4, rel=1e-4)
    weights[3, 4, 5] = 1.0
    assert bool((weights == 1.0).all())


def test_csf_term_is_a_projection() -> None:
    rng = np.random.default_rng(3)
    x, start = torch.from_numpy(rng.standard_normal((2, 120)))
    region = torch.arange(0, 120, 7)
    once = add_deviation(torch.zeros_like(x), x, region, 1.0)
    np.testing.assert_allclose(add_deviation(torch.zeros_like(x), once, region, 1.0), once, atol=1e-12)
    assert abs(float(once.sum())) < 1e-12
    assert torch.count_nonzero(once) == len(region)
    torch.testing.assert_close(add_deviation(start.clone(), x, region, 0.3), start + 0.3 * once)
    torch.testing.assert_close(add_deviation(start.clone(), x, region[:0], 0.3), start)


def spheres() -> tuple[MapSet, NDArray[np.bool_], Real]:
    """Exact field of spheres in a magnitude that shows them."""
    voxel_mm = (2.0, 2.0, 2.0)
    mask, truth = ellipsoid(voxel_mm), source_susceptibility(voxel_mm)
    field = sources(voxel_mm, _OBLIQUE) * mask
    magnitude = np.where(truth != 0, 0.7, 1.0) * mask
    return maps_of(voxel_mm, local_field=field, magnitude=magnitude, brain_mask=mask), mask, truth


def test_spheres_of_known_field_are_found_better_with_their_edges() -> None:
    maps, mask, truth = spheres()
    without = MapSet(maps.grid, maps.scan, {name: one for name, one in maps.maps.items() if name != "magnitude"})
    found, error = {}, {}
    for name, given in (("edges", maps), ("none", without), ("again", maps)):
        solution = run(given, mask, MediOptions(), Reporter())
        found[name] = solution.maps["chi_total"]
        error[name] = 100 * norm_ratio(found[name] + truth[mask].mean() - truth, truth, mask)
        assert any("magnitude" in text for text in solution.warnings) == (name == "none")
        assert solution.record["solver"]["status"] == "converged"
        assert not found[name][~mask].any()
    np.testing.assert_array_equal(found["edges"], found["again"])
    assert (error["edges"], error["none"]) == pytest.approx((36.9, 42.1), abs=0.5)


def test_bad_options_are_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [
        {"regularisation_ppm_mm": 0.0}, {"regularisation_ppm_mm": float("nan")}, {"regularisation_ppm_mm": 1e9},
        {"csf_weight": -1.0}, {"edge_share": 1.0}, {"outer_iterations": 0}, {"inner_iterations": 0},
    ]  # fmt: skip
    for options in bad:
        with pytest.raises(InputError):
            MediOptions(**options)
    maps, mask = small_head()
    with pytest.raises(CancelledError):
        run(maps, mask, MediOptions(), Reporter(lambda status: False))
